"""Where a method's options are searched for in a comparison, and the recipe with what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...family import member
from ...family.space import Dimension, dimension
from ...recipe import ChosenMethod, Method, Recipe


def space_of(recipe: Recipe, name: str) -> list[Dimension]:
    """What is searched for: the recipe's ``space``, else the member's own; the place if ``tune.at`` has choices."""
    layer, own = member(recipe.method(name).layer), recipe.methods.get(name, Method()).space
    if own == {}:
        return []
    found = [dimension(key, value) for key, value in (own or layer.space).items()]
    if len(recipe.tune.at) > 1 and layer.place == "feature":
        found.append(Dimension("at", choices=recipe.tune.at))
    return found


def with_options(recipe: Recipe, name: str, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with a method's options, and its place, as they were found; the method is named in it afterwards."""
    chosen: ChosenMethod = recipe.method(name)
    raw = recipe.plain()
    entry = raw["methods"].setdefault(name, Method().model_dump(mode="json"))
    options = {key: value for key, value in settings.items() if key != "at"}
    entry |= {"layer": chosen.layer, "options": {**chosen.options, **options}}
    if "at" in settings:
        entry["at"] = settings["at"]
    return type(recipe).model_validate(raw)
