"""Methods x seeds, each an independent run that is resumed or recognised by its folder, then one report."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ..errors import FeatmaskError
from ..jobs import Executor, Job, listed, run_jobs
from ..recipe import Recipe
from ..records.comparison import COMPARISON, ComparisonRecord
from ..records.run import Run, read_run
from ..records.tuning import TUNING, TuningRecord
from ..report import write_report
from ..utils.files import write_text
from . import pictures
from .cached_task import cached_task
from .fields import read_recipe
from .places import check_places
from .planning import Planned, Planning, planned_runs, planning
from .run import is_finished, measure_run, study_folder, train_run
from .tune.space import space_of
from .tune.tuning import TUNED, tune


@dataclass(frozen=True)
class Comparison:
    """What a comparison left behind.

    Attributes:
        folder: ``out/<recipe>/<key>``.
        runs: the finished runs, in the order of methods and seeds.
        report: kind -> path of ``report.html``, ``report.md``, ``table.csv`` and ``table.tex``.
        failed: ``method, seed`` -> why that run could not be finished; the others are not affected.
    """

    folder: Path
    runs: list[Run]
    report: dict[str, Path]
    failed: dict[str, str] = field(default_factory=dict)


def compare(
    recipe: str | Path | Recipe,
    *,
    methods: Sequence[str] | None = None,
    seeds: int | Iterable[int] | None = None,
    tune_trials: int = 0,
    out: str | Path = "runs",
    device: str = "auto",
    overrides: Sequence[str] = (),
    executor: Executor | None = None,
    command: str | None = None,
) -> Comparison:
    """Train and measure every method with every seed, then write the report.

    Runs that are finished are recognised (same recipe, same code) and not repeated; a run that was killed goes on where
    it stopped.

    Args:
        recipe: a recipe or the path of one.
        methods: names from the recipe or from the family; default: the recipe's. The first is the baseline.
        seeds: how many (0, 1, ...) or which; default: the recipe's number.
        tune_trials: first search options for every method, by so many trials each, on validation data.
        out: where the runs' folders are.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overrides: ``key=value`` changes of the recipe.
        executor: who runs them: this process, several, or a cluster; default: this process.
        command: what made the report, for the record.

    Raises:
        FeatmaskError: a mistake in the recipe, the methods or the data, or no run that could be finished.
    """
    recipe, executor, out = _read(recipe, overrides), executor or Executor(), Path(out)
    runs = planned_runs(recipe, methods, seeds, out)
    names, numbers = list(dict.fromkeys(run.method for run in runs)), list(dict.fromkeys(run.seed for run in runs))
    record: TuningRecord | None = None
    if tune_trials:
        recipe, record = tune(recipe, names, tune_trials, out, executor, device)
        runs = planned_runs(recipe, names, numbers, out)
    folder = study_folder(out, recipe)
    failed = _execute(recipe, runs, executor, device)
    finished = [read_run(run.folder) for run in runs if is_finished(recipe, run.folder)]
    if not finished:
        raise FeatmaskError(listed("no run could be finished", failed))
    if record is not None:
        TUNING.write(folder, record)
        write_text(folder / TUNED, yaml.safe_dump(recipe.plain(), sort_keys=False))  # what these runs are runs of
    command = command or "featmask.compare(...)"
    COMPARISON.write(folder, ComparisonRecord(command=command, methods=names, seeds=numbers, failed=failed))
    if pictures.missing(recipe, folder, finished):
        for message in pictures.draw_all(recipe, cached_task(recipe, measured=False), finished, folder, device):
            _say(message)
    return Comparison(folder, finished, write_report(folder, finished, command=command), failed)


def plan(
    recipe: str | Path | Recipe,
    *,
    methods: Sequence[str] | None = None,
    seeds: int | Iterable[int] | None = None,
    tune_trials: int = 0,
    out: str | Path = "runs",
    device: str = "auto",
    overrides: Sequence[str] = (),
) -> Planning:
    """What :func:`compare` would do with the same arguments, and how long it should take; nothing is written."""
    recipe, out = _read(recipe, overrides), Path(out)
    runs = planned_runs(recipe, methods, seeds, out)
    names = dict.fromkeys(run.method for run in runs)
    searched = [name for name in names if space_of(recipe, name)] if tune_trials else []
    return planning(recipe, runs, out, tune_trials, searched, device)


def _read(recipe: str | Path | Recipe, overrides: Sequence[str]) -> Recipe:
    if not isinstance(recipe, Recipe):
        return read_recipe(recipe, overrides)
    if overrides:
        raise FeatmaskError("overrides are applied while a recipe is read; give its path, not the recipe itself")
    return recipe


def _execute(recipe: Recipe, runs: Sequence[Planned], executor: Executor, device: str) -> dict[str, str]:
    """Run what is not finished, one seed of every method before the next seed; give the failures."""
    waiting = [run for run in sorted(runs, key=lambda run: run.seed) if not is_finished(recipe, run.folder)]
    if len(waiting) < len(runs):
        _say(f"{len(runs) - len(waiting)} of {len(runs)} runs were finished before")
    if waiting:
        # what is wrong with the data is wrong with every run, and a wrong place with all of a method's: so once, now
        check_places(recipe, list(dict.fromkeys(run.method for run in waiting)), cached_task(recipe))
    jobs = [
        Job(str(run), train_and_measure, (recipe, run.method, run.seed, run.folder.absolute(), device), run.folder,
            units=recipe.under(run.method).train.epochs)
        for run in waiting
    ]  # fmt: skip
    return run_jobs(jobs, executor)


def train_and_measure(recipe: Recipe, method: str, seed: int, folder: Path, device: str) -> None:
    """One run, whole; a job."""
    task = cached_task(recipe)
    train_run(recipe, method, seed, folder, task, device)
    measure_run(recipe, folder, task, device)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
