"""Methods x seeds, each an independent run that is resumed or recognised by its folder, then one report."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .errors import FeatmaskError
from .experiment import CHECKPOINT, is_finished, load_model, measure_run, run_folder, study_folder, train_run
from .family import FAMILY, member
from .files import write_text
from .masks import save_masks
from .recipe import AnyRecipe, Recipe, read_recipe
from .report import write_report
from .report.verdicts import SUBJECT
from .results import Run, read_run
from .tasks import Task, open_task

__all__ = ["Comparison", "compare"]

MASKS_CAPTION = (
    "What each method hides: one channel of the feature maps of real images, before training "
    "(LFM drawn with p = 1, so that every image shows a mask)"
)


@dataclass(frozen=True)
class Comparison:
    """What a comparison left behind.

    Attributes:
        folder: ``out/<recipe>/<key>``.
        runs: the finished runs, in the order of methods and seeds.
        report: kind -> path of ``report.html``, ``report.md`` and ``table.csv``.
        failed: ``method, seed`` -> why that run could not be finished; the others are not affected.
    """

    folder: Path
    runs: list[Run]
    report: dict[str, Path]
    failed: dict[str, str] = field(default_factory=dict)


def compare(
    recipe: str | Path | AnyRecipe,
    *,
    methods: Sequence[str] | None = None,
    seeds: int | Iterable[int] | None = None,
    out: str | Path = "runs",
    device: str = "auto",
    overrides: Sequence[str] = (),
    command: str | None = None,
) -> Comparison:
    """Train and measure every method with every seed, then write the report.

    Runs that are finished are recognised and not repeated; a run that was killed goes on where it stopped.

    Args:
        recipe: a recipe or the path of one.
        methods: names from the recipe or from the family; default: the recipe's. The first is the baseline.
        seeds: how many (0, 1, ...) or which; default: the recipe's number.
        out: where the runs' folders are.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overrides: ``key=value`` changes of the recipe.
        command: for the record, what made the report.

    Raises:
        FeatmaskError: a mistake in the recipe, the methods or the data, or no run that could be finished.
    """
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(recipe, overrides)
    elif overrides:
        raise FeatmaskError("overrides are applied while a recipe is read; give its path, not the recipe itself")
    plan = _plan(recipe, methods, recipe.seeds if seeds is None else seeds, Path(out))
    folder = study_folder(Path(out), recipe)
    pictures = _Pictures(recipe, folder)
    waiting = [run for run in plan if not is_finished(recipe, run.folder)]
    task = open_task(recipe) if waiting or pictures.missing else None
    failed = _execute(recipe, plan, waiting, task, device)
    runs = [read_run(run.folder) for run in plan if is_finished(recipe, run.folder)]
    if not runs:
        raise FeatmaskError("no run could be finished:\n" + "\n".join(f"  {run}: {why}" for run, why in failed.items()))
    if task is not None:
        pictures.draw(task, runs, device)
    report = write_report(
        folder,
        runs,
        command=command or "featmask.compare(...)",
        images=pictures.of_masks,
        rankings=pictures.of_rankings,
    )
    return Comparison(folder, runs, report, failed)


class _Pictures:
    """Pictures beside the report, drawn when something was run, and found again when all was finished before."""

    def __init__(self, recipe: AnyRecipe, folder: Path) -> None:
        self.recipe = recipe
        self.masks, self.rankings = folder / "masks.png", folder / "rankings.png"
        self.caption = folder / "rankings.txt"

    @property
    def missing(self) -> bool:
        """Whether one is to be drawn that is not there."""
        return not self.masks.is_file() or (self.recipe.task == "reid" and not self.rankings.is_file())

    def draw(self, task: Task, runs: Sequence[Run], device: str) -> None:
        """Masks of every method; ranked lists of the baseline and of one other method, by their first seeds."""
        names = list(dict.fromkeys(run.method for run in runs))
        masking = [name for name in names if self.recipe.method(name).layer != "none"]
        save_masks(self.recipe, task, self.masks, methods=masking)
        if self.recipe.task == "reid":
            shown = dict.fromkeys([names[0], SUBJECT if SUBJECT in names else names[-1]])
            first = {name: next(run for run in runs if run.method == name) for name in shown}
            models = {name: load_model(run.folder / CHECKPOINT)[0] for name, run in first.items()}
            write_text(self.caption, task.rankings(self.recipe, models, self.rankings, device))

    @property
    def of_masks(self) -> dict[str, Path]:
        """Caption -> picture, as the report takes them."""
        return {MASKS_CAPTION: self.masks} if self.masks.is_file() else {}

    @property
    def of_rankings(self) -> dict[str, Path]:
        """The same of ranked lists, whose caption stands beside the picture."""
        there = self.rankings.is_file() and self.caption.is_file()
        return {self.caption.read_text(encoding="utf-8"): self.rankings} if there else {}


class _Planned(NamedTuple):
    method: str
    seed: int
    folder: Path

    def __str__(self) -> str:
        return f"{self.method}, seed {self.seed}"


def _plan(recipe: AnyRecipe, methods: Sequence[str] | None, seeds: int | Iterable[int], out: Path) -> list[_Planned]:
    """The runs, methods first; the recipe's own order unless asked for another."""
    chosen = list(recipe.methods if methods is None else methods)
    numbers = list(range(seeds) if isinstance(seeds, int) else seeds)
    if not chosen or not numbers:
        raise FeatmaskError("a comparison needs at least one method and one seed")
    for name in chosen:
        if name not in recipe.methods and name not in FAMILY:
            raise FeatmaskError(
                f"unknown method {name!r}; the recipe has {', '.join(recipe.methods)}; "
                f"the family has {', '.join(FAMILY)}"
            )
        member(recipe.method(name).layer)
    return [_Planned(name, seed, run_folder(out, recipe, name, seed)) for name in chosen for seed in numbers]


def _execute(
    recipe: AnyRecipe, plan: Sequence[_Planned], waiting: Sequence[_Planned], task: Task | None, device: str
) -> dict[str, str]:
    """Run what is waiting, one seed of every method before the next seed; give the failures."""
    failed = {}
    for number, run in enumerate(sorted(plan, key=lambda run: run.seed), start=1):
        title = f"[{number}/{len(plan)}] {run}"
        if task is None or run not in waiting:
            _say(f"{title}: finished before")
            continue
        _say(title)
        try:
            train_run(recipe, run.method, run.seed, run.folder, task, device)
            measure_run(recipe, run.folder, task, device)
        except FeatmaskError as error:
            failed[str(run)] = str(error)
            _say(f"{title} failed: {error}")
    return failed


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
