"""What a comparison is going to run, what of it is finished, and how long the rest should take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ..errors import FeatmaskError
from ..family import FAMILY, member
from ..recipe import Recipe
from ..records.run import RUN, read_epochs
from .cost import Cost, probe
from .run import CHECKPOINT, is_finished, run_folder, study_folder

#: Where an expectation comes from.
EARLIER = "from finished runs of this recipe"
PROBED = "from a probe of a few steps; of what is measured afterwards only the passes through the model are counted"


class Planned(NamedTuple):
    """One run of a comparison."""

    method: str
    seed: int
    folder: Path

    def __str__(self) -> str:
        return f"{self.method}, seed {self.seed}"


@dataclass(frozen=True)
class Planning:
    """The plan of a comparison.

    Attributes:
        folder: the study's.
        runs: each run, and ``finished``, ``to go on`` or ``new``.
        trials: of tuning, per method.
        seconds: expected of all that is left on one worker, per run; tuning under ``tune METHOD``.
        sources: where the expectation comes from, a sentence each.
    """

    folder: Path
    runs: list[tuple[Planned, str]]
    trials: dict[str, int]
    seconds: dict[str, float]
    sources: list[str]

    @property
    def total(self) -> float:
        """Seconds on one worker."""
        return sum(self.seconds.values())

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "folder": str(self.folder),
            "trials": self.trials,
            "runs": [{"method": run.method, "seed": run.seed, "state": state} for run, state in self.runs],
            "seconds": self.seconds,
            "total_seconds": self.total,
            "sources": self.sources,
        }


def planned_runs(
    recipe: Recipe, methods: Sequence[str] | None, seeds: int | Iterable[int] | None, out: Path
) -> list[Planned]:
    """The runs, methods first; None: methods in the recipe's order, as many seeds as it says.

    Raises:
        FeatmaskError: no method, no seed, or a method that neither the recipe nor the family has.
    """
    chosen = list(recipe.methods if methods is None else methods)
    seeds = recipe.seeds if seeds is None else seeds
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
    return [Planned(name, seed, run_folder(out, recipe, name, seed)) for name in chosen for seed in numbers]


def planning(recipe: Recipe, runs: Sequence[Planned], out: Path, trials: int, searched: Sequence[str],
             device: str) -> Planning:  # fmt: skip
    """What is left of ``runs``, and how long it should take.

    The expectation comes from finished runs of the same recipe on this machine's disk, else from a probe of a few
    steps. It is for one worker; several share the machine.
    """
    states = [(run, _state(recipe, run)) for run in runs]
    costs = _Costs(recipe, out, device)
    seconds: dict[str, float] = {}
    for name in searched:
        epochs = recipe.tune.epochs or recipe.train.epochs
        seconds[f"tune {name}"] = trials * epochs * costs[name].epoch
    for run, state in states:
        if state != "finished":
            cost, own = costs[run.method], recipe.under(run.method)
            trained = own.train.epochs if (run.folder / CHECKPOINT).is_file() else len(read_epochs(run.folder))
            seconds[str(run)] = (own.train.epochs - trained) * cost.epoch + cost.measuring
    return Planning(study_folder(out, recipe), states, dict.fromkeys(searched, trials), seconds, costs.sources)


def _state(recipe: Recipe, run: Planned) -> str:
    if is_finished(recipe, run.folder):
        return "finished"
    return "to go on" if read_epochs(run.folder) or (run.folder / CHECKPOINT).is_file() else "new"


class _Costs(dict[str, Cost]):
    """Seconds per epoch and measurement by method: from runs that were made before, else from a probe."""

    def __init__(self, recipe: Recipe, out: Path, device: str) -> None:
        super().__init__()
        self.recipe, self.device = recipe, device
        self.before = [RUN.read(path.parent) for path in sorted((out / recipe.name).glob("*/*/seed-*/run.json"))]
        self.sources: list[str] = []

    def __missing__(self, method: str) -> Cost:
        evaluate = self.recipe.plain()["evaluate"]
        same = [info for info in self.before if info.method == method and info.evaluate == evaluate]
        epochs = [info.seconds_per_epoch for info in same if info.seconds_per_epoch is not None]
        measuring = [info.seconds_measuring for info in same if info.seconds_measuring is not None]
        if epochs and measuring:
            source = EARLIER
            self[method] = Cost(median(epochs), median(measuring))
        else:
            source = PROBED
            self[method] = probe(self.recipe, method, self.device)
        if source not in self.sources:
            self.sources.append(source)
        return self[method]
