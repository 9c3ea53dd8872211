"""Embedders: a backbone, pooling and a head, and what retrieval compares of them."""

from .backbone import build_backbone
from .embedder import Descriptor, Embedder, build_embedder
from .heads import HEADS, BNNeck, ClassBlock, LinearHead, Outputs, PartHead, build_head
from .pooling import POOLS, AveragePool, GeM, build_pool

__all__ = [
    "HEADS",
    "POOLS",
    "AveragePool",
    "BNNeck",
    "ClassBlock",
    "Descriptor",
    "Embedder",
    "GeM",
    "LinearHead",
    "Outputs",
    "PartHead",
    "build_backbone",
    "build_embedder",
    "build_head",
    "build_pool",
]
