"""The family that Local Feature Masking is compared with: a file per regulariser, and what works on any of them.

Each member is the library's own layer (torch, torchvision), so that a comparison is with what people use. At the same
nominal p they drop very different shares: :func:`dropped_fraction` measures what a layer really drops.
"""

from .base import Member
from .dropping import dropped_by, dropped_fraction
from .random_erasing import RandomErasing
from .registry import FAMILY, build_layer, member, probability_of, wrong_method

__all__ = [
    "FAMILY", "Member", "RandomErasing", "build_layer", "dropped_by", "dropped_fraction", "member", "probability_of",
    "wrong_method",
]  # fmt: skip
