"""From a recipe to its field."""

from __future__ import annotations

from typing import Any

from ..models import Normalized
from ..recipe import AnyRecipe, ClassificationRecipe
from . import classification, reid
from .base import Task


def open_task(recipe: AnyRecipe, *, measured: bool = True) -> Task:
    """Find the recipe's data.

    Args:
        recipe: of any task.
        measured: whether its suites are to be measured: what they need is read now, and not after hours of training.

    Raises:
        FeatmaskError: data that are not there, or cannot be read.
    """
    if isinstance(recipe, ClassificationRecipe):
        return classification.Classification(recipe)
    task = reid.Reid(recipe)
    if measured:
        task.prepare(recipe)
    return task


def rebuild(recipe: AnyRecipe, about: dict[str, Any]) -> Normalized:
    """The model that a checkpoint holds weights of, untrained; ``about`` is what :meth:`Task.about` told.

    Raises:
        FeatmaskError: the model cannot be built.
    """
    if isinstance(recipe, ClassificationRecipe):
        return classification.rebuild(recipe, about)
    return reid.rebuild(recipe, about)
