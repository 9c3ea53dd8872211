"""Person re-identification data sets: read as they lie on disk, checked, and split by persons."""

from .check import Check, check_reid
from .layouts import LAYOUTS, read_reid
from .people import PeopleSplits, Side, load_people
from .sets import Part, ReidSet

__all__ = ["LAYOUTS", "Check", "Part", "PeopleSplits", "ReidSet", "Side", "check_reid", "load_people", "read_reid"]
