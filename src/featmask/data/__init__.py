"""Where images come from: files, tables of images, common corruptions."""

from .corruptions import CORRUPTIONS, CorruptedSet, corrupt, open_corrupted
from .images import Images, Splits, load_images
from .photos import Augment, Photos
from .tables import TABLES

__all__ = [
    "CORRUPTIONS", "TABLES", "Augment", "CorruptedSet", "Images", "Photos", "Splits", "corrupt", "load_images",
    "open_corrupted",
]  # fmt: skip
