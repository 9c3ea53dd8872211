"""What learns: models by name, normalisation inside, written to and read from safetensors."""

from .backbone import build_backbone
from .checkpoint import load_into, read_checkpoint, save_checkpoint
from .embedder import Descriptor, Embedder, build_embedder
from .factory import build_model, pretrained_statistics
from .foreign import Foreign, wrap
from .heads import HEADS, BNNeck, ClassBlock, LinearHead, Outputs, PartHead, build_head
from .normalized import Normalized
from .outputs import is_differentiable, looks_like_probabilities
from .pooling import POOLS, AveragePool, GeM, build_pool
from .reading import read_model

__all__ = [
    "HEADS",
    "POOLS",
    "AveragePool",
    "BNNeck",
    "ClassBlock",
    "Descriptor",
    "Embedder",
    "Foreign",
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
    "is_differentiable",
    "load_into",
    "looks_like_probabilities",
    "pretrained_statistics",
    "read_checkpoint",
    "read_model",
    "save_checkpoint",
    "wrap",
]
