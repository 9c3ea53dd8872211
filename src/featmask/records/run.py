"""What a run leaves behind, and how it is read back: the schema between training, statistics and reports.

A run's folder holds ``recipe.yaml``, ``recipe.json``, ``env.json``, ``train.jsonl`` (a line per epoch), ``run.json``
(written last: the run is finished), ``model.safetensors`` and the suites' records in ``eval``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from ..errors import FeatmaskError
from .file import Number, Record, RecordFile, read_lines
from .suite import Columns, Suite, read_suites

_ANEW = "delete the run's folder to train it anew"


class RunInfo(Record):
    """``run.json``, and in a checkpoint's header the part that training knows; also ``val_...``, figures on validation
    data of the weights that are kept.

    Attributes:
        layer, options: the regulariser's name in the family, and its options.
        point: where it was; None for the baseline.
        dropped_fraction: measured share of the activations that it drops in training.
        schedule: of its probability.
        method: the name in the recipe.
        set: keys of the recipe that the method changes.
        processes: that shared the training.
        seconds_per_epoch: median.
        best_by, best_epoch: the figure by which an epoch may be chosen; the one that was, None for the last one.
        evaluate, seconds_measuring: the recipe's part that was measured, and how long all suites took.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    layer: str = ""
    options: dict[str, Any] = Field({})
    point: str | None = None
    dropped_fraction: Number | None = None
    schedule: dict[str, Any] | None = None
    method: str
    seed: int
    set: dict[str, Any] = Field({})
    parameters: int | None = None
    epochs: int | None = None
    processes: int | None = None
    seconds_per_epoch: Number | None = None
    best_by: str | None = None
    best_epoch: int | None = None
    evaluate: dict[str, Any] | None = None
    seconds_measuring: Number | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON values; figures on validation data stand where they always stood."""
        told = super().plain()
        last = [key for key in ("best_by", "best_epoch", "evaluate", "seconds_measuring") if key in told]
        moved = {key: told.pop(key) for key in last}
        return told | moved

    @property
    def validation(self) -> dict[str, float]:
        """Figures on validation data, by their names such as ``val_accuracy``."""
        return {name: value for name, value in self.__pydantic_extra__.items() if name.startswith("val_")}


class RecordedRecipe(Record):
    """``recipe.json``: what a report needs of a recipe, and every key as it was written."""

    name: str | None = None
    note: str | None = None
    data: dict[str, Any] | None = None
    methods: dict[str, Any] | None = None
    every: dict[str, Any] = Field({})

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, raw: Any) -> Any:
        return {**raw, "every": raw} if isinstance(raw, dict) else raw

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return self.every


RUN = RecordFile("run.json", RunInfo, "delete it to have the run measured again")
RECIPE = RecordFile("recipe.json", RecordedRecipe, _ANEW)
#: Versions and machine.
ENVIRONMENT = RecordFile("env.json", dict[str, str], _ANEW)
LOG = "train.jsonl"


@dataclass(frozen=True)
class Run:
    """One trained model and all that was measured on it: ``info`` is ``run.json``, ``epochs`` the training log with a
    mapping per epoch; by suite ``suites`` are the figures, ``samples`` the per-sample columns, aligned by ``index``.
    """

    folder: Path
    info: RunInfo
    recipe: RecordedRecipe
    environment: dict[str, str]
    epochs: list[dict[str, Number]]
    suites: dict[str, Suite]
    samples: dict[str, Columns]

    @property
    def method(self) -> str:
        """The name in the recipe."""
        return self.info.method

    @property
    def seed(self) -> int:
        """Of the training."""
        return self.info.seed


def read_run(folder: str | Path) -> Run:
    """Read a finished run.

    Raises:
        FeatmaskError: the folder holds no finished run (``run.json`` is written last), or one of its files is missing
            or damaged.
    """
    folder = Path(folder)
    if not (folder / RUN.name).exists():
        raise FeatmaskError(f"{folder} holds no finished run: {RUN.name} is missing")
    info, epochs = RUN.read(folder), read_epochs(folder)
    if info.epochs not in (None, len(epochs)):
        raise FeatmaskError(f"{folder / LOG}: expected {info.epochs} lines, one per epoch, got {len(epochs)}; {_ANEW}")
    return Run(folder, info, RECIPE.read(folder), ENVIRONMENT.read(folder), epochs, *read_suites(folder))


def read_runs(root: str | Path, methods: Sequence[str] | None = None) -> list[Run]:
    """Read every finished run below ``root``, methods in the given order (else by name), seeds ascending."""
    runs = [read_run(path.parent) for path in sorted(Path(root).rglob(RUN.name))]
    if methods is not None:
        runs = [run for run in runs if run.method in methods]
        return sorted(runs, key=lambda run: (list(methods).index(run.method), run.seed))
    return sorted(runs, key=lambda run: (run.method, run.seed))


def read_epochs(folder: str | Path) -> list[dict[str, Number]]:
    """A run's log, a line per epoch; none where there is no log yet.

    Raises:
        FeatmaskError: it is damaged; a last line that a kill cut short is left out.
    """
    lines = read_lines(Path(folder) / LOG, dict[str, Number], _ANEW)
    if any("epoch" not in line for line in lines):
        raise FeatmaskError(f"{Path(folder) / LOG}: expected the key epoch in every line; {_ANEW}")
    return lines
