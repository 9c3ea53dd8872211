"""From a YAML file to keys, and dotted keys: how the command line and a method's ``set`` name a place in a recipe."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import FeatmaskError


def read_keys(path: str | Path, what: str, known: str) -> dict[str, Any]:
    """The keys of a YAML file; messages say ``what`` it is, and some ``known`` keys.

    Raises:
        FeatmaskError: no such file, not YAML, or no keys.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FeatmaskError(f"cannot read the {what} {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FeatmaskError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise FeatmaskError(f"{path}: expected keys such as {known}")
    return raw


def override(raw: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A copy of a recipe's keys with ``key=value`` changes applied, such as ``train.epochs=5`` (values are YAML).

    Raises:
        FeatmaskError: not of that form, or a path through something that holds no keys.
    """
    changed = copy.deepcopy(raw)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key:
            raise FeatmaskError(f"expected key=value such as train.epochs=5, got {change!r}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise FeatmaskError(f"the value of {change!r} is not YAML: {error}") from error
        set_key(changed, key, value)
    return changed


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
