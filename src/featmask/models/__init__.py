"""What learns: models by name, normalisation inside, written to and read from safetensors."""

from .checkpoint import load_into, read_checkpoint, save_checkpoint
from .factory import build_model, pretrained_statistics
from .normalized import Normalized

__all__ = [
    "Normalized",
    "build_model",
    "load_into",
    "pretrained_statistics",
    "read_checkpoint",
    "save_checkpoint",
]
