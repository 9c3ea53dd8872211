"""What a study shows beside its figures: where models look, what a method saves and loses, what it hides."""

from .album import draw_all, missing
from .masks import save_masks

__all__ = ["draw_all", "missing", "save_masks"]
