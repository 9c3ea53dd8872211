"""From a recipe to its field."""

from __future__ import annotations

from typing import Any

from ..models import Normalized
from ..recipe import AnyRecipe, ClassificationRecipe
from . import classification, reid
from .base import Task


def open_task(recipe: AnyRecipe) -> Task:
    """Find the recipe's data.

    Raises:
        FeatmaskError: data that are not there, or cannot be read.
    """
    if isinstance(recipe, ClassificationRecipe):
        return classification.Classification(recipe)
    return reid.Reid(recipe)


def rebuild(recipe: AnyRecipe, about: dict[str, Any]) -> Normalized:
    """The model that a checkpoint holds weights of, untrained; ``about`` is what :meth:`Task.about` told.

    Raises:
        FeatmaskError: the model cannot be built.
    """
    if isinstance(recipe, ClassificationRecipe):
        return classification.rebuild(recipe, about)
    return reid.rebuild(recipe, about)
