"""Where images come from: one module a kind of data."""

from .images import Images, Splits, load_images
from .tables import TABLES

__all__ = ["TABLES", "Images", "Splits", "load_images"]
