"""Suites of a user's own, from YAML."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ...errors import FeatmaskError, listed
from ...recipe import read_keys
from ...utils.mistakes import mistakes
from ..measured import OwnSuite
from .named import own_plan
from .plans import Plan


def read_plan(path: str | Path) -> Plan:
    """Read a suite, for example::

        name: mine
        attacks:
          - {kind: pgd, eps: [2/255, 8/255], steps: 50, restarts: 2}
          - {kind: patch, size: 20%, steps: 50}
          - {kind: autoattack, eps: 8/255}
        corruptions: {kinds: [fog], severities: [1, 3, 5]}
        smallest: {rounds: 6}

    Raises:
        FeatmaskError: no such file, not YAML, unknown keys, or attacks that can't be.
    """
    raw = read_keys(path, "suite", "name, attacks and corruptions")
    try:
        suite = OwnSuite.model_validate(raw)
        kinds: tuple[str, ...] = ()
        if suite.corruptions is not None:
            from ...data import CORRUPTIONS

            kinds = suite.corruptions.kinds or CORRUPTIONS
        return own_plan(
            suite.name,
            suite.entries(),
            kinds,
            () if suite.corruptions is None else suite.corruptions.severities,
            0 if suite.smallest is None else suite.smallest.rounds,
        )
    except ValidationError as error:
        raise FeatmaskError(f"{path}:{listed(mistakes(error, OwnSuite))}") from error
    except FeatmaskError as error:
        raise FeatmaskError(f"{path}: {error}") from error
