"""What a member of the family declares of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from ..utils.option import Option

#: A layer's options, all of them, by name.
Options = Mapping[str, Any]
#: Of maps: (C, H, W).
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Member:
    """One regulariser of the family.

    Attributes:
        build: makes the layer from its options, all of them by name; None for the baseline.
        place: ``"feature"`` layers go where the user says, ``"input"`` layers always on the normalised image.
        source: the paper.
        card: what it does, where it is known to help, where it fails: the docstring of its file.
        options: what it can be given.
        space: where ``compare --tune`` looks, by option; see :func:`featmask.family.space.dimension`.
        share: the expected share of dropped values in closed form; None: it is measured.
        probability: the layer's attribute that a schedule may set between steps; None: it has no such thing.
    """

    build: Callable[..., nn.Module] | None
    place: Literal["none", "feature", "input", "batch", "branch"]
    source: str
    card: str | None
    options: Mapping[str, Option] = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)
    share: Callable[[Options, Shape], float] | None = None
    probability: str | None = "p"

    @property
    def defaults(self) -> dict[str, Any]:
        """The options where nothing is said."""
        return {key: option.default for key, option in self.options.items()}


#: Rates from rare to always, on a logarithmic scale: what helps differs by an order of magnitude between networks.
RATE = {"low": 0.02, "high": 0.5, "log": True}
