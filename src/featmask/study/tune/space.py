"""Where a method's options are searched for: a range or choices for each option, defaults for the family's members."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import FeatmaskError
from ...family import member
from ...recipe import ChosenMethod, Method, Recipe

if TYPE_CHECKING:
    import optuna

#: Rates from rare to always, on a logarithmic scale: what helps differs by an order of magnitude between networks.
_RATE = {"low": 0.02, "high": 0.5, "log": True}
_MASKING = {
    "p": {"low": 0.05, "high": 1.0, "log": True},
    "channels": [0.1, 1.0],
    "area": {"low": 0.1, "high": 0.6, "from": 0.02},
}
#: By layer. Of an option that is a range (``area``) the upper end is searched for, ``from`` is the lower one.
SPACES: dict[str, dict[str, Any]] = {
    "none": {},
    "dropout": {"p": _RATE},
    "dropout2d": {"p": _RATE},
    "dropblock": {"p": _RATE, "block_size": {"choices": [3, 5, 7]}},
    "cutout": {"area": [0.05, 0.4]},
    "random_erasing": {"p": [0.1, 1.0]},
    "lfm": _MASKING,
    "lfm_strongest": _MASKING,
    "lfm_published": _MASKING,
}


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


def space_of(recipe: Recipe, name: str) -> list[Dimension]:
    """What is searched for a method: the recipe's ``space``, else the family's; its place if ``tune.at`` has choices.

    Raises:
        FeatmaskError: an entry that is neither a range nor choices.
    """
    chosen = recipe.method(name)
    own = recipe.methods.get(name, Method()).space
    if own == {}:
        return []
    found = [dimension(name, key, value) for key, value in (own or SPACES.get(chosen.layer, {})).items()]
    if len(recipe.tune.at) > 1 and member(chosen.layer).place == "feature":
        found.append(Dimension("at", choices=recipe.tune.at))
    return found


def dimension(method: str, key: str, value: Any) -> Dimension:
    """Read an entry: ``[low, high]``, ``{low, high, log, from}`` or ``{choices: [...]}``."""
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        value = {"low": value[0], "high": value[1]}
    if isinstance(value, Mapping) and set(value) == {"choices"} and value["choices"]:
        return Dimension(key, choices=tuple(value["choices"]))
    low, high = (value.get("low"), value.get("high")) if isinstance(value, Mapping) else (None, None)
    known = isinstance(value, Mapping) and set(value) <= {"low", "high", "log", "from"}
    if not known or not isinstance(low, (int, float)) or not isinstance(high, (int, float)) or not low < high:
        raise FeatmaskError(
            f"methods.{method}.space.{key}: expected [low, high], {{low, high, log, from}} or {{choices: [...]}}, "
            f"got {value!r}"
        )
    log = bool(value.get("log", False))
    if log and low <= 0:
        raise FeatmaskError(f"methods.{method}.space.{key}: a logarithmic range begins above 0, got {low}")
    return Dimension(key, float(low), float(high), log, value.get("from"))


def defaults(layer: str) -> dict[str, Any]:
    """The options that a member of the family has where nothing is said."""
    chosen = member(layer)
    if chosen.build is None:
        return {}
    known = inspect.signature(chosen.build).parameters.values()
    found = {parameter.name: parameter.default for parameter in known if parameter.default is not parameter.empty}
    return found | dict(chosen.options)


def with_options(recipe: Recipe, name: str, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with a method's options, and its place, as they were found; the method is named in it afterwards."""
    chosen: ChosenMethod = recipe.method(name)
    raw = recipe.plain()
    entry = raw["methods"].setdefault(name, Method().model_dump(mode="json"))
    options = {key: value for key, value in settings.items() if key != "at"}
    entry |= {"layer": chosen.layer, "options": {**chosen.options, **options}}
    if "at" in settings:
        entry["at"] = settings["at"]
    return type(recipe).model_validate(raw)
