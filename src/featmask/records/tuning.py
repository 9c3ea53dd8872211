"""The search for options: ``best.json`` of one method, ``tuning.json`` of all methods of a study."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from .file import Number, Record, RecordFile


class Extent(Record):
    """Where one option was searched for: ``choices``, or from ``low`` to ``high``; of a range that is searched by its
    upper end ``start`` is the lower one."""

    choices: list[Any] | None = None
    low: Number | None = None
    high: Number | None = None
    log: bool = False
    start: Number | None = Field(None, alias="from")

    @model_validator(mode="after")
    def _of_one_kind(self) -> Extent:
        if self.choices is None and (self.low is None or self.high is None):
            raise ValueError("expected choices, or low and high")
        return self

    def __str__(self) -> str:
        if self.choices is not None:
            return f"one of {', '.join(map(_text, self.choices))}"
        start = "" if self.start is None else f"from {_text(self.start)} to "
        return f"{start}{_text(self.low)} … {_text(self.high)}{' (log)' if self.log else ''}"


class Settings(Record):
    """Options, and the place where the layer goes; None where places are not searched."""

    at: str | list[str] | None
    options: dict[str, Any]

    def __str__(self) -> str:
        """``p 0.2, area 0.02 to 0.31, at stem``."""
        parts = [f"{name} {_text(value)}" for name, value in self.options.items()]
        return ", ".join(parts + ([f"at {_text(self.at)}"] if self.at else []))


class Trial(Record):
    """One training; ``value`` is None where it failed, and ``error`` says why."""

    number: int
    at: str | list[str] | None = None
    options: dict[str, Any] = Field({})
    value: Number | None
    state: str = ""
    error: str = ""


class MethodSearch(Record):
    """The search for one method's options, empty where it has none: where each option was searched for, the settings
    of the best trial, its figure on validation data, and all trials in their order.
    """

    space: dict[str, Extent]
    best: Settings | None
    value: Number | None
    trials: list[Trial]

    @property
    def finished(self) -> list[float]:
        """Figures of the trials that have one."""
        return [float(trial.value) for trial in self.trials if trial.value is not None]

    @property
    def searched(self) -> str:
        """Where, in words."""
        return "; ".join(f"{name} {extent}" for name, extent in self.space.items())


class BestRecord(MethodSearch):
    """``best.json``: what a finished search found, by which figure, and what it cost: trials and seconds."""

    budget: int
    metric: str
    seconds: Number
    best: Settings
    value: Number


class TuningRecord(Record):
    """``tuning.json``: ``trials`` per method, each of so many ``epochs``, judged by the ``metric`` on validation data
    (None where nothing was searched); ``recipe`` is the key of the recipe whose options were searched for, ``seconds``
    are those of all searches.
    """

    trials: int
    metric: str | None = None
    epochs: int | None = None
    seed: int | None = None
    recipe: str = ""
    seconds: Number | None = None
    methods: dict[str, MethodSearch]


BEST = RecordFile("best.json", BestRecord, "delete it to have the search finished anew from its trials")
TUNING = RecordFile(
    "tuning.json", TuningRecord, "run the comparison with --tune again to have it written anew", schema=1
)


def _text(value: Any) -> str:
    """An option for people."""
    if isinstance(value, (list, tuple)):
        numbers = len(value) == 2 and all(isinstance(v, (int, float)) for v in value)
        return (" to " if numbers else " + ").join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
