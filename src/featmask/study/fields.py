"""The fields that featmask knows; a recipe's key ``task`` names one. A third field is a folder and a row here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ..classification import task as classification
from ..classification.recipe import ClassificationRecipe
from ..errors import FeatmaskError
from ..models import Normalized
from ..recipe import Recipe, override, read_keys
from ..records.checkpoint import Header
from ..reid import task as reid
from ..reid.recipe import ReidRecipe
from ..utils.mistakes import mistakes
from .task import AnyTask


@dataclass(frozen=True)
class Field:
    """One field of vision.

    Attributes:
        title: for people.
        recipe: the schema of its recipes.
        open: finds a recipe's data; called with (recipe, measured), see :func:`open_task`.
        rebuild: the untrained model of a checkpoint, from (recipe, header); a FeatmaskError where it cannot be built.
        options: of the verb ``evaluate``, those that this field alone has.
        asked: turns suites and those options into changes of the recipe, and into arguments of :meth:`Task.measure`.
        foreign: whether models that featmask did not train can be measured.
        page: whether ``featmask report`` makes a page of one model's records.
    """

    title: str
    recipe: type[Recipe]
    open: Callable[[Any, bool], AnyTask]
    rebuild: Callable[[Any, Header], Normalized]
    options: tuple[str, ...]
    asked: Callable[..., tuple[list[str], dict[str, Any]]]
    foreign: bool
    page: bool


FIELDS: dict[str, Field] = {
    "classification": Field(
        title="classification",
        recipe=ClassificationRecipe,
        open=classification.open_task,
        rebuild=classification.rebuild,
        options=("ood", "corrupted", "surrogate"),
        asked=classification.asked,
        foreign=True,
        page=True,
    ),
    "reid": Field(
        title="re-identification",
        recipe=ReidRecipe,
        open=reid.open_task,
        rebuild=reid.rebuild,
        options=("rerank", "ap", "cross"),
        asked=reid.asked,
        foreign=False,
        page=False,
    ),
}


def open_task(recipe: Recipe, *, measured: bool = True) -> AnyTask:
    """Find the data of a recipe of any field; if ``measured``, what its suites need is read now too, and not after
    hours of training.

    Raises:
        FeatmaskError: data that are not there, or cannot be read.
    """
    return FIELDS[recipe.task].open(recipe, measured)


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply ``key=value`` overrides such as ``train.epochs=5`` (values are YAML).

    Raises:
        FeatmaskError: no such file, not YAML, an unknown key or a value out of range, each with its place.
    """
    raw = read_keys(path, "recipe", "name, data, model and methods")
    return parse_recipe(override(raw, overrides), str(path))


def parse_recipe(raw: dict[str, Any], source: str) -> Recipe:
    """Check a recipe that was read from ``source``; its key ``task`` says of which field it is."""
    task = raw.get("task", "classification")
    if not isinstance(task, str) or task not in FIELDS:
        raise FeatmaskError(
            f"{source} is not a valid recipe:\n  task: expected one of {', '.join(FIELDS)}, got {task!r}"
        )
    schema = FIELDS[task].recipe
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        lines = "\n".join(f"  {line}" for line in mistakes(error, schema))
        raise FeatmaskError(f"{source} is not a valid recipe:\n{lines}") from error


R = TypeVar("R", bound=Recipe)


def recipe_of(schema: type[R], recipe: Recipe, who: str) -> R:
    """A recipe that must be of one field.

    Raises:
        FeatmaskError: it is of another; the message says ``who`` needs this one.
    """
    if isinstance(recipe, schema):
        return recipe
    wanted = next(field.title for field in FIELDS.values() if field.recipe is schema)
    raise FeatmaskError(f"{who} is for {wanted}; this model is of {FIELDS[recipe.task].title}")
