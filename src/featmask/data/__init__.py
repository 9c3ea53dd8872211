"""Where images come from: one module a kind of data."""

from .images import DATASETS, Images, Splits, load_images

__all__ = ["DATASETS", "Images", "Splits", "load_images"]
