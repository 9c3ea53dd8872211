"""Embedders: a backbone, pooling and a head, and what retrieval compares of them."""

from .backbone import build_backbone
from .embedder import Descriptor, Embedder, build_embedder
from .heads import Outputs, build_head
from .pooling import build_pool

__all__ = ["Descriptor", "Embedder", "Outputs", "build_backbone", "build_embedder", "build_head", "build_pool"]
