"""The schema of an experiment. Unknown keys fail; every key can be set from the command line."""

from .base import Recipe
from .classification import ClassificationRecipe
from .measured import Evaluate, OwnSuite
from .parts import ChosenMethod, Method, Schedule, Train
from .reading import AnyRecipe, override, parse_recipe, read_recipe
from .reid import Place, ReidEvaluate, ReidRecipe, ReidTrain

__all__ = [
    "AnyRecipe",
    "ChosenMethod",
    "ClassificationRecipe",
    "Evaluate",
    "Method",
    "OwnSuite",
    "Place",
    "Recipe",
    "ReidEvaluate",
    "ReidRecipe",
    "ReidTrain",
    "Schedule",
    "Train",
    "override",
    "parse_recipe",
    "read_recipe",
]
