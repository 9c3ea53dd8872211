"""Classifiers by name, with normalisation inside, written to and read from safetensors."""

from .checkpoint import load_into, read_checkpoint, save_checkpoint
from .factory import build_model, pretrained_statistics
from .normalized import Normalized
from .outputs import is_differentiable, looks_like_probabilities

__all__ = [
    "Normalized", "build_model", "is_differentiable", "load_into", "looks_like_probabilities",
    "pretrained_statistics", "read_checkpoint", "save_checkpoint",
]  # fmt: skip
