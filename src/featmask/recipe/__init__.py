"""What recipes of every field share. Unknown keys fail; every key can be set from the command line."""

from .base import Recipe, RecipeData
from .parts import ChosenMethod, Method, Schedule, Strict, Train
from .reading import override, read_keys

__all__ = ["ChosenMethod", "Method", "Recipe", "RecipeData", "Schedule", "Strict", "Train", "override", "read_keys"]
