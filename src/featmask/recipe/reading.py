"""From a YAML file to keys, and changes of them from a command line."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import FeatmaskError
from .keys import set_key


def read_keys(path: str | Path, what: str, known: str) -> dict[str, Any]:
    """The keys of a YAML file.

    Args:
        path: the file.
        what: it is, for messages.
        known: some of its keys, for messages.

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
