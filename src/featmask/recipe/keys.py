"""Dotted keys: how the command line and a method's ``set`` name a place in a recipe."""

from __future__ import annotations

from typing import Any

from ..errors import FeatmaskError


def set_key(raw: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a place such as ``train.epochs``, in place; what is missing on the way is made.

    Raises:
        FeatmaskError: the path leads through something that holds no keys.
    """
    *path, last = key.split(".")
    place = raw
    for part in path:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise FeatmaskError(f"{key!r}: {part!r} holds a value, not keys")
    place[last] = value
