"""What the suites of classifiers are called; no torch, for the command line's help."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import FeatmaskError
from ..records import names

#: The suites of a classifier; ``full`` stands for those of FULL.
SUITES = (*names.SUITES, "full")
FULL = ("clean", "linf", "l2", "autoattack", "corruptions", "occlusion")
#: The same for a model without gradients.
FULL_BLACK_BOX = ("clean", "blackbox", "corruptions", "occlusion")


def check_recipe_suite(name: str) -> str:
    """A suite's name that may stand in a recipe, as it came.

    Raises:
        FeatmaskError: there is no such suite, or it needs what no recipe names.
    """
    if name not in SUITES or name == "transfer":
        known = ", ".join(suite for suite in SUITES if suite != "transfer")
        advice = "; transfer attacks another model: featmask evaluate --surrogate" if name == "transfer" else ""
        raise FeatmaskError(f"expected some of {known}; got {name!r}{advice}")
    return name


def expand(suites: str | Sequence[str], black_box: bool = False) -> list[str]:
    """Names with ``full`` spelled out, each once.

    Raises:
        FeatmaskError: an unknown suite, or none.
    """
    found: list[str] = []
    for name in [suites] if isinstance(suites, str) else suites:
        if name not in SUITES:
            raise FeatmaskError(
                f"unknown suite {name!r}; expected one of: {', '.join(SUITES)}, or a file such as mine.yaml"
            )
        found += (FULL_BLACK_BOX if black_box else FULL) if name == "full" else [name]
    if not found:
        raise FeatmaskError("expected one suite or more, got none")
    return list(dict.fromkeys(found))


def is_file(suite: str | Path) -> bool:
    """Whether a suite is a file of a user's own."""
    return str(suite).endswith((".yaml", ".yml"))
