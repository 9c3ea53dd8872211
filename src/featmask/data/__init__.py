"""Where images come from: one module a kind of data."""

from .images import Images, Splits, load_images
from .people import PeopleSplits, Side, load_people
from .photos import Augment, Photos
from .tables import TABLES

__all__ = [
    "TABLES",
    "Augment",
    "Images",
    "PeopleSplits",
    "Photos",
    "Side",
    "Splits",
    "load_images",
    "load_people",
]
