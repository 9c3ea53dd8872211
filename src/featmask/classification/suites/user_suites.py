"""Suites of a user's own, from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator
from typing_extensions import Self

from ...errors import FeatmaskError, listed
from ...recipe import Strict, read_keys
from ...utils.mistakes import mistakes
from ..suite_names import SUITES
from .named import own_plan
from .options import CorruptionName, Severities
from .plans import Plan


class Smallest(Strict):
    """The search of the smallest radius that flips a sample."""

    rounds: int = Field(5, ge=1)


class Corruptions(Strict):
    """Common corruptions; see :func:`featmask.data.corrupt`."""

    kinds: tuple[CorruptionName, ...] = ()
    severities: Severities = (1, 2, 3, 4, 5)


class UserSuite(Strict):
    """A suite of a user's own, in a YAML file.

    An entry of ``attacks`` has a ``kind`` and the keys of :class:`featmask.attacks.Attack` (with ``eps``, one or a
    list), of :class:`featmask.attacks.Region` (with ``size``, one or a list), or of
    :class:`featmask.attacks.AutoAttack`.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    note: str = ""
    attacks: tuple[dict[str, Any], ...] = ()
    corruptions: Corruptions | None = None
    smallest: Smallest | None = None

    @field_validator("name")
    @classmethod
    def _free(cls, value: str) -> str:
        if value in SUITES:
            raise ValueError(f"{value} is a suite of featmask's own; choose another name")
        return value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.attacks and self.corruptions is None:
            raise ValueError("expected attacks, corruptions, or both")
        for place, entry in enumerate(self.attacks):
            if "kind" not in entry:
                raise ValueError(f"attacks.{place}: expected a kind such as pgd, square, patch or autoattack")
        return self

    def entries(self) -> list[dict[str, Any]]:
        """The attacks, one per radius or size."""
        found = []
        for entry in self.attacks:
            key = "size" if "size" in entry else "eps"
            sizes = entry.get(key)
            for size in sizes if isinstance(sizes, list | tuple) else [sizes]:
                found.append({**entry, key: size} if size is not None else dict(entry))
        return found


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
        suite = UserSuite.model_validate(raw)
        kinds: tuple[str, ...] = ()
        if suite.corruptions is not None:
            from ...data import CORRUPTIONS

            kinds = suite.corruptions.kinds or CORRUPTIONS
        severities = () if suite.corruptions is None else suite.corruptions.severities
        rounds = 0 if suite.smallest is None else suite.smallest.rounds
        return own_plan(suite.name, suite.entries(), kinds, severities, rounds)
    except ValidationError as error:
        raise FeatmaskError(f"{path}:{listed(mistakes(error, UserSuite))}") from error
    except FeatmaskError as error:
        raise FeatmaskError(f"{path}: {error}") from error
