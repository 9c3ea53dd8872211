"""Every attack in one table: what its settings are, what it needs, and under which names suites offer it.

An attack's own file adds its row. All else asks the table: the settings' checks, records, suites, a recipe's names, the
tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, get_args

import torch

from ..errors import FeatmaskError
from .ball import Norm

Perturb = TypeVar("Perturb", bound=Callable[..., torch.Tensor])
#: What suites take for the settings of an attack that goes step by step.
STEPWISE: Mapping[str, str | int] = {"steps": "steps", "eot": "eot"}


@dataclass(frozen=True)
class Row:
    """One kind of attack.

    Attributes:
        spec: the class that holds its settings and has ``run``; built from the plain values of a user's own suite.
        perturb: does the work of ``run``.
        norms: of the balls it works in, if it works in balls.
        gradients: whether it needs a model that gradients flow through.
        surrogate: whether it needs another model.
        settings: those of ``spec`` that only some kinds have, and that this one's record names.
        fills: what suites take for a setting: a key of their options, or a number.
        presets: names by which suites offer it, with the settings that each stands for.
        standard: whether AutoAttack has it too; figures of the others alone are called an upper bound.
        search: place in the queue for a suite's search of smallest radii, 0 first; None: it never searches.
    """

    spec: type[Any]
    perturb: Callable[..., torch.Tensor]
    norms: tuple[Norm, ...] = get_args(Norm)
    gradients: bool = False
    surrogate: bool = False
    settings: tuple[str, ...] = ()
    fills: Mapping[str, str | int] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    standard: bool = False
    search: int | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """All settings of its ``spec``."""
        return tuple(known.name for known in fields(self.spec))

    @property
    def size(self) -> str:
        """The setting that says how far it may go: ``eps``, or ``size`` of a region."""
        return "size" if "size" in self.keys else "eps"


#: Kind -> row.
ATTACKS: dict[str, Row] = {}


def register(kind: str, spec: type[Any], **row: Any) -> Callable[[Perturb], Perturb]:
    """Add the decorated function to the table by its name in settings and records; for all else see ``Row``."""

    def add(perturb: Perturb) -> Perturb:
        ATTACKS[kind] = Row(spec, perturb, **row)
        return perturb

    return add


def row_of(kind: str, spec: type[Any]) -> Row:
    """The row of a kind whose settings are a ``spec``.

    Raises:
        FeatmaskError: there is none.
    """
    row = ATTACKS.get(kind)
    if row is None or row.spec is not spec:
        known = [name for name, row in ATTACKS.items() if row.spec is spec]
        raise FeatmaskError(f"kind: expected one of {', '.join(known)}; got {kind!r}")
    return row


def presets() -> dict[str, dict[str, Any]]:
    """The names by which suites offer attacks, and what each stands for: its kind and settings."""
    return {name: {"kind": kind, **settings} for kind, row in ATTACKS.items() for name, settings in row.presets.items()}


def check_preset(name: str) -> str:
    """The name of a preset as it came.

    Raises:
        FeatmaskError: there is no such preset.
    """
    if name not in presets():
        raise FeatmaskError(f"unknown attack {name!r}; expected some of: {', '.join(presets())}")
    return name
