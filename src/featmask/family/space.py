"""Where an option is searched for: a range or choices, as a recipe's ``methods.NAME.space`` and the members say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import FeatmaskError

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Dimension:
    """One option: ``choices``, or numbers from ``low`` to ``high``; ``start`` makes it the upper end of a range."""

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    start: float | None = None
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: optuna.Trial) -> Any:
        """A value, as the option takes it."""
        if self.choices:
            # by position: Optuna stores plain numbers and texts alone, a place may be a list of names
            return self.choices[trial.suggest_categorical(self.name, list(range(len(self.choices))))]
        value = trial.suggest_float(self.name, self.low, self.high, log=self.log)
        value = float(f"{value:.4g}")  # what a recipe can show
        return value if self.start is None else [self.start, value]

    def ends(self) -> list[Any]:
        """Every choice, or both ends of the range, as the option takes them."""
        if self.choices:
            return list(self.choices)
        return [end if self.start is None else [self.start, end] for end in (self.low, self.high)]

    def position(self, value: Any) -> Any:
        """What Optuna calls a value; None where it lies outside."""
        if self.choices:
            return self.choices.index(value) if value in self.choices else None
        if self.start is not None:
            value = value[1] if isinstance(value, (list, tuple)) and len(value) == 2 else None
        return value if isinstance(value, (int, float)) and self.low <= value <= self.high else None

    def plain(self) -> Any:
        """As JSON."""
        if self.choices:
            return {"choices": [list(c) if isinstance(c, tuple) else c for c in self.choices]}
        extra = {"log": True} if self.log else {}
        return {"low": self.low, "high": self.high, **extra, **({} if self.start is None else {"from": self.start})}


def dimension(key: str, value: Any) -> Dimension:
    """Read an entry: ``[low, high]``, ``{low, high, log, from}`` or ``{choices: [...]}``.

    Of an option that is a range (``area``) the upper end is searched for, ``from`` is the lower one.

    Raises:
        FeatmaskError: an entry that is neither a range nor choices.
    """
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        value = {"low": value[0], "high": value[1]}
    choices = value.get("choices") if isinstance(value, Mapping) and len(value) == 1 else None
    if isinstance(choices, (list, tuple)) and choices:
        return Dimension(key, choices=tuple(choices))
    low, high = (value.get("low"), value.get("high")) if isinstance(value, Mapping) else (None, None)
    known = isinstance(value, Mapping) and set(value) <= {"low", "high", "log", "from"}
    if not known or not isinstance(low, (int, float)) or not isinstance(high, (int, float)) or not low < high:
        raise FeatmaskError(
            f"{key}: expected [low, high], {{low, high, log, from}} or {{choices: [...]}}, got {value!r}"
        )
    log = bool(value.get("log", False))
    if log and low <= 0:
        raise FeatmaskError(f"{key}: a logarithmic range begins above 0, got {low}")
    return Dimension(key, float(low), float(high), log, value.get("from"))
