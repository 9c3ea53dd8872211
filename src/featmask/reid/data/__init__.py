"""Person re-identification data sets: read as they lie on disk, and checked."""

from .check import Check, check_reid
from .layouts import LAYOUTS, read_reid
from .sets import Part, ReidSet

__all__ = ["LAYOUTS", "Check", "Part", "ReidSet", "check_reid", "read_reid"]
