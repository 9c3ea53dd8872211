"""All pictures of a study: which there are, which of them are out of date, and drawing those."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ...errors import FeatmaskError
from ...models import Normalized
from ...recipe import Recipe
from ...records import pictures as gallery
from ...records.run import Run
from ...report.study.verdicts import SUBJECT
from ..run import CHECKPOINT, load_model
from ..task import AnyTask
from .attention import save_attention
from .gained_lost import SUITES, outcomes, save_saved, suite_of
from .masks import save_masks


@dataclass(frozen=True)
class Wanted:
    """A picture that a study should have.

    Attributes:
        name: of its files.
        kind: one of ``gallery.KINDS``.
        methods, seeds: what it shows.
    """

    name: str
    kind: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]


def pair_of(methods: Sequence[str]) -> tuple[str, ...]:
    """The baseline, which is the first method, and the one that is set beside it: LFM if it is there, else the last."""
    return tuple(dict.fromkeys([methods[0], SUBJECT if SUBJECT in methods[1:] else methods[-1]]))


def wanted(recipe: Recipe, methods: Sequence[str], seeds: Sequence[int]) -> list[Wanted]:
    """The pictures of a study; ``seeds`` are those that the baseline and the other method share."""
    pair, first = pair_of(methods), tuple(seeds[:1])
    found = list[Wanted]()
    if len(pair) == 2 and seeds:
        suites = recipe.suite_names()
        found += [Wanted("attention", "attention", pair, first)] if "clean" in suites else []
        found += [Wanted(f"saved-{kind}", "saved", pair, tuple(seeds)) for kind in SUITES if suite_of(kind, suites)]
    if recipe.searched and seeds:
        found.append(Wanted("rankings", "rankings", pair, first))
    masking = tuple(name for name in methods if recipe.method(name).layer != "none")
    return found + ([Wanted("masks", "masks", masking, first)] if masking else [])


def missing(recipe: Recipe, folder: str | Path, runs: Sequence[Run]) -> bool:
    """Whether a picture of these finished runs is to be drawn: it is not there, or shows other runs (fewer seeds,
    weights or figures that are no longer there).
    """
    study = _Study(recipe, runs)
    return any(gallery.shown(folder, picture.name) != study.shows(picture) for picture in study.wanted)


def draw_all(recipe: Recipe, task: AnyTask, runs: Sequence[Run], folder: str | Path, device: str = "auto") -> list[str]:
    """Draw what a study shows beside its figures, into its folder; a picture that shows the same runs is kept.

    ``runs`` are finished ones, methods in order; the first method is the baseline.

    Returns:
        What could not be drawn, and why: the report is written without it.

    Raises:
        FeatmaskError: no runs.
    """
    if not runs:
        raise FeatmaskError("expected finished runs to draw pictures of, got none")
    study = _Study(recipe, runs)
    names = {picture.name for picture in study.wanted}
    for name in {"attention", "rankings", "masks", *(f"saved-{kind}" for kind in SUITES)} - names:
        gallery.discard(folder, name)  # it shows what is no longer compared
    failed = []
    for picture in study.wanted:
        of = study.shows(picture)
        try:
            if gallery.shown(folder, picture.name) != of:
                gallery.save(folder, picture.name, picture.kind, study.drawing(picture, task, device), of)
        except Exception as error:  # whatever a model, a data set or a library says: the report does without
            gallery.discard(folder, picture.name)
            failed.append(f"the picture {picture.name} was not drawn: {str(error) or type(error).__name__}")
    return failed


class _Study:
    """Runs by method and seed, and their models, each read once."""

    def __init__(self, recipe: Recipe, runs: Sequence[Run]) -> None:
        self.recipe = recipe
        self.methods = list(dict.fromkeys(run.method for run in runs))
        self.runs = {(run.method, run.seed): run for run in runs}
        self.first = {run.method: run for run in reversed(runs)}
        self.model = lru_cache(maxsize=2)(lambda folder: load_model(folder / CHECKPOINT)[0])

    @cached_property
    def wanted(self) -> list[Wanted]:
        """Its pictures, of the seeds that the baseline and the other method share."""
        own = [{seed for method, seed in self.runs if method == name} for name in pair_of(self.methods)]
        return wanted(self.recipe, self.methods, sorted(set.intersection(*own)))

    def shows(self, picture: Wanted) -> dict[str, Any]:
        """For the record: equal exactly if the picture would show the same runs."""
        runs = self._of(picture)
        figures = [[run.info.plain(), {name: suite.metrics for name, suite in run.suites.items()}] for run in runs]
        digest = hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()[:16]
        return {"methods": list(picture.methods), "seeds": list(picture.seeds), "runs": digest}

    def drawing(self, picture: Wanted, task: AnyTask, device: str) -> Callable[[Path], str]:
        """Draws it, and gives its caption."""
        runs = self._of(picture)
        if picture.kind == "masks":
            shares = {run.method: float(run.info.dropped_fraction or 0.0) for run in runs}
            return lambda path: save_masks(
                self.recipe, task, path, methods=picture.methods, shares=shares, trained=self._named
            )
        if picture.kind == "saved":
            tested, half = task.tested(), len(runs) // 2
            found = outcomes(tested, picture.name.removeprefix("saved-"), runs[:half], runs[half:])
            return lambda path: save_saved(tested, found, path)
        models = {run.method: self.model(run.folder) for run in runs}
        if picture.kind == "rankings":
            return lambda path: task.rankings(self.recipe, models, path, device)
        return lambda path: save_attention(task.tested(), runs, models, path, device)

    def _of(self, picture: Wanted) -> list[Run]:
        """The runs of a picture, seeds within methods; of masks each method's first."""
        if picture.kind == "masks":
            return [self.first[method] for method in picture.methods]
        return [self.runs[method, seed] for method in picture.methods for seed in picture.seeds]

    def _named(self, method: str) -> Normalized:
        return self.model(self.first[method].folder)
