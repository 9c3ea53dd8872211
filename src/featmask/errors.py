"""Errors that a user can act on: what was expected, what came, what to do."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from types import ModuleType


class FeatmaskError(ValueError):
    """A mistake in what was asked for; the command line prints it without a traceback and exits with code 2."""


class FeatmaskWarning(UserWarning):
    """Something works, but probably not as its user believes."""


class MissingExtraError(FeatmaskError, ImportError):
    """An optional library is not installed."""


def warn(text: str) -> None:
    """Issue a :class:`FeatmaskWarning` where the public function is called whose private check calls this."""
    warnings.warn(text, FeatmaskWarning, stacklevel=4)


def listed(lines: Sequence[str], shown: int = 10) -> str:
    """The first lines of a list of mistakes, each on a line of its own, and how many more there are."""
    more = f"\n  and {len(lines) - shown} more" if len(lines) > shown else ""
    return "\n  " + "\n  ".join(lines[:shown]) + more


def require(module: str, extra: str) -> ModuleType:
    """Import an optional library by its import name (``"timm"``), or say which extra (``"train"``) installs it.

    Raises:
        MissingExtraError: the library is not installed.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise  # the library is there and lacks something of its own: not ours to reword
        raise MissingExtraError(
            f"this needs the package '{package}', which is not installed; "
            f"install it with: pip install 'featmask[{extra}]'"
        ) from error
