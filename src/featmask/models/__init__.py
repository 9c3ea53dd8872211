"""What learns: models by name, normalisation inside, written to and read from safetensors."""

from .backbone import build_backbone
from .checkpoint import load_into, read_checkpoint, save_checkpoint
from .embedder import Descriptor, Embedder, build_embedder
from .factory import build_model, pretrained_statistics
from .heads import HEADS, BNNeck, ClassBlock, LinearHead, Outputs, PartHead, build_head
from .normalized import Normalized
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
    "Normalized",
    "Outputs",
    "PartHead",
    "build_backbone",
    "build_embedder",
    "build_head",
    "build_model",
    "build_pool",
    "load_into",
    "pretrained_statistics",
    "read_checkpoint",
    "save_checkpoint",
]
