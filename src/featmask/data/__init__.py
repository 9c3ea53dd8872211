"""Where images come from: one module a kind of data."""

from .corruptions import CORRUPTIONS, CorruptedSet, corrupt, open_corrupted
from .images import Images, Splits, load_images
from .people import PeopleSplits, Side, load_people
from .photos import Augment, Photos
from .tables import TABLES

__all__ = [
    "CORRUPTIONS",
    "TABLES",
    "Augment",
    "CorruptedSet",
    "Images",
    "PeopleSplits",
    "Photos",
    "Side",
    "Splits",
    "corrupt",
    "load_images",
    "load_people",
    "open_corrupted",
]
