"""The members by name; a new one is a file in this folder and a word in ``FILES``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn

from ..errors import FeatmaskError
from ..utils.option import wrong_options
from .base import Member
from .space import dimension

#: In the order of messages and pages.
FILES = [
    "none",
    "dropout",
    "dropout2d",
    "dropblock",
    "cutout",
    "random_erasing",
    "lfm",
    "lfm_strongest",
    "lfm_published",
]
FAMILY: dict[str, Member] = {name: import_module(f".{name}", __package__).MEMBER for name in FILES}


def member(name: str) -> Member:
    """Look a member up.

    Raises:
        FeatmaskError: no such member.
    """
    if name not in FAMILY:
        raise FeatmaskError(f"unknown method {name!r}; expected one of: {', '.join(FAMILY)}")
    return FAMILY[name]


def probability_of(name: str) -> str:
    """The attribute of a member's layers that holds their probability.

    Raises:
        FeatmaskError: no such member, or it has none.
    """
    found = member(name).probability
    if found is None:
        able = ", ".join(name for name, one in FAMILY.items() if one.probability is not None)
        raise FeatmaskError(f"method {name!r} has no probability that could follow a schedule; these do: {able}")
    return found


def build_layer(name: str, **options: Any) -> nn.Module | None:
    """Make the layer of that name; None for ``"none"``.

    Raises:
        FeatmaskError: no such member, an option that it does not have, or a value out of its range.
    """
    chosen = member(name)
    wrong = wrong_options(name, chosen.options, options)
    if wrong:
        raise FeatmaskError(f"method {name!r}: {'; '.join(wrong)}")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    return None if chosen.build is None else chosen.build(**{**chosen.defaults, **given})


def wrong_method(name: str, options: Mapping[str, Any], space: Mapping[str, Any]) -> list[str]:
    """What is wrong with a method's options and search space, one line each: ``options.p: expected ...``.

    Raises:
        FeatmaskError: no such member.
    """
    chosen = member(name)
    found = [f"options.{line}" for line in wrong_options(name, chosen.options, options)]
    for key, entry in space.items():
        try:
            values = dimension(key, entry).ends()
        except FeatmaskError as error:
            found.append(f"space.{error}")
            continue
        if key != "at" or chosen.place != "feature":
            wrong = (line for value in values for line in wrong_options(name, chosen.options, {key: value}))
            found += [f"space.{line}" for line in wrong][:1]
    return found
