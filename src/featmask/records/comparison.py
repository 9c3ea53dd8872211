"""What a comparison wrote of itself into the study's folder: the command, what failed, the search for options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import FeatmaskError

RECORD = "comparison.json"
TUNING = "tuning.json"
SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """``comparison.json``; empty where there is none.

    Attributes:
        command: that made the runs.
        methods: in the order in which they are shown.
        failed: run -> why it could not be finished.
    """

    command: str = ""
    methods: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tuned:
    """The search for one method's options.

    Attributes:
        method: its name.
        space: what was searched, in words; empty where there was nothing to search.
        chosen: the best settings, in words.
        value: the best figure on validation data.
        values: figures of all trials that were finished, in their order.
        unfinished: trials without a figure.
    """

    method: str
    space: str
    chosen: str
    value: float | None
    values: tuple[float, ...]
    unfinished: int


@dataclass(frozen=True)
class Tuning:
    """``tuning.json``: so many trials a method; by which figure, over how many epochs, with which seed."""

    trials: int
    metric: str
    epochs: int | None
    seed: int | None
    seconds: float | None
    methods: list[Tuned]


def read_record(folder: Path) -> Record:
    """The record of a study's folder.

    Raises:
        FeatmaskError: it cannot be read, or was written by another version.
    """
    path = folder / RECORD
    raw = read_object(path)
    if raw is None:
        return Record()
    command, methods, failed = raw.get("command", ""), raw.get("methods", []), raw.get("failed", {})
    if not (isinstance(command, str) and isinstance(methods, list) and isinstance(failed, Mapping)):
        raise FeatmaskError(f"{path}: expected a command, a list of methods and a mapping of failed runs")
    return Record(command, tuple(map(str, methods)), {str(run): str(why) for run, why in failed.items()})


def read_tuning(folder: Path) -> Tuning | None:
    """The record of the search; None where options were not tuned.

    Raises:
        FeatmaskError: it cannot be read, or was written by another version.
    """
    path = folder / TUNING
    raw = read_object(path)
    if raw is None:
        return None
    try:
        methods = [_tuned(str(name), entry) for name, entry in raw["methods"].items()]
        return Tuning(int(raw["trials"]), str(raw.get("metric") or ""), raw.get("epochs"), raw.get("seed"),
                      raw.get("seconds"), methods)  # fmt: skip
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FeatmaskError(f"{path}: expected the record of a search for options: {error!r}") from error


def _tuned(method: str, raw: Mapping[str, Any]) -> Tuned:
    trials, best, value = raw.get("trials") or [], raw.get("best"), raw.get("value")
    finished = tuple(float(trial["value"]) for trial in trials if trial.get("value") is not None)
    return Tuned(
        method,
        "; ".join(f"{name} {_extent(extent)}" for name, extent in (raw.get("space") or {}).items()),
        settings_text(best) if best else "",
        None if value is None else float(value),
        finished,
        len(trials) - len(finished),
    )


def _extent(raw: Any) -> str:
    """A range or choices, in words."""
    if isinstance(raw, Mapping) and "choices" in raw:
        return f"one of {', '.join(map(value_text, raw['choices']))}"
    if isinstance(raw, Mapping):
        start = f"from {value_text(raw['from'])} to " if raw.get("from") is not None else ""
        return f"{start}{value_text(raw['low'])} … {value_text(raw['high'])}{' (log)' if raw.get('log') else ''}"
    return f"{value_text(raw[0])} … {value_text(raw[1])}"


def settings_text(best: Mapping[str, Any]) -> str:
    """``p 0.2, area 0.02 to 0.31, at stem``."""
    parts = [f"{name} {value_text(value)}" for name, value in (best.get("options") or {}).items()]
    return ", ".join(parts + ([f"at {value_text(best['at'])}"] if best.get("at") else []))


def value_text(value: Any) -> str:
    """An option for people."""
    if isinstance(value, (list, tuple)):
        numbers = len(value) == 2 and all(isinstance(v, (int, float)) for v in value)
        return (" to " if numbers else " + ").join(map(value_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object of this schema; None where there is no such file.

    Raises:
        FeatmaskError: it cannot be read, or was written by another version.
    """
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FeatmaskError(f"cannot read {path}: {error}") from error
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        raise FeatmaskError(f"{path}: expected a JSON object of schema {SCHEMA}; another version wrote this file")
    return raw
