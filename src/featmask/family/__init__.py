"""The family that Local Feature Masking is compared with: a file per regulariser, and what works on any of them."""

from .members import FAMILY, Member, RandomErasing, build_layer, dropped_by, dropped_fraction, member, probability_of

__all__ = [
    "FAMILY",
    "Member",
    "RandomErasing",
    "build_layer",
    "dropped_by",
    "dropped_fraction",
    "member",
    "probability_of",
]
