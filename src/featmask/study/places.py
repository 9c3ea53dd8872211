"""Where methods go in a model, and whether they can: checked before the first training."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..errors import FeatmaskError, FeatmaskWarning
from ..family import build_layer, member
from ..insert import Attachment, attach
from ..models import Normalized
from ..recipe import ChosenMethod, Recipe
from .task import AnyTask

#: One place, or several at once.
At = str | Sequence[str]


def places_of(method: ChosenMethod) -> list[str]:
    """Where a method's layer goes: as the recipe says, or the model's input for layers that belong there."""
    if member(method.layer).place == "input":
        return ["input"]
    return [method.at] if isinstance(method.at, str) else list(method.at)


def example_for(recipe: Recipe, model: Normalized, task: AnyTask) -> torch.Tensor:
    """One image of the size and channels that the model is given, to find places by."""
    return torch.zeros(1, model.mean.shape[1], *task.size(recipe))


def put(name: str, layer: nn.Module, model: Normalized, at: At, example: torch.Tensor) -> Attachment:
    """Attach a method's layer, and see that it works on the maps there.

    Raises:
        FeatmaskError: a place that the model does not have, or whose maps the layer cannot take; ``name`` is for the
            message.
    """
    try:
        attachment = attach(model.model, layer, at=at, example=example)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for point in attachment.points:
                copy.deepcopy(layer).train()(torch.zeros(2, point.channels, point.height, point.width))
    except (ValueError, RuntimeError) as error:  # a FeatmaskError is a ValueError; other libraries' layers raise both
        raise FeatmaskError(f"methods.{name}, at {at if isinstance(at, str) else ', '.join(at)}: {error}") from error
    return attachment


def check_places(
    recipe: Recipe, methods: Sequence[str], task: AnyTask, searched: Mapping[str, Sequence[At]] | None = None
) -> None:
    """Try to put every method where it will go; methods with the same model share one.

    ``searched``: method -> the places that a search chooses from, in place of its own.

    Raises:
        FeatmaskError: for all methods at once: places that are not there, or that a layer cannot work at.
    """
    models, wrong = dict[str, Normalized](), list[str]()
    for name in methods:
        own = recipe.under(name)
        method, key = own.method(name), own.model.model_dump_json()
        for at in (searched or {}).get(name) or [places_of(method)]:
            try:
                layer = build_layer(method.layer, **method.options)
                if layer is None:
                    break
                if key not in models:
                    with torch.random.fork_rng(devices=[]):
                        models[key] = task.model(own)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FeatmaskWarning)  # it comes when the model is trained
                    put(name, layer, models[key], at, example_for(own, models[key], task)).remove()
            except FeatmaskError as error:
                wrong.append(str(error))
    if wrong:
        raise FeatmaskError("\n".join(wrong))
