"""Options for every method by the same number of trials, judged on validation data, before anything is compared.

A method's trials follow one another, methods are independent jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ...errors import FeatmaskError, require
from ...jobs import Executor, Job, listed, run_jobs
from ...recipe import Recipe
from ...records.tuning import BEST, TUNING, TuningRecord
from ...utils.files import write_text
from ..cached_task import cached_task
from ..places import check_places
from ..run import study_folder
from .search import digest, is_searched, search, settings_of, tried_epochs
from .space import space_of, with_options

TUNED = "recipe.tuned.yaml"


def tune(
    recipe: Recipe, methods: Sequence[str], trials: int, out: Path, executor: Executor, device: str = "auto"
) -> tuple[Recipe, TuningRecord]:
    """The recipe with the best options of each method, and the record of the search.

    Each method gets ``trials`` trials, one without options (the baseline) none. They lie below ``tune`` in the recipe's
    own folder below ``out``.

    Raises:
        FeatmaskError: nothing to validate on, a place that the model does not have, or a method of which no trial could
            be finished.
    """
    _check(recipe, trials)
    folder = study_folder(out, recipe) / "tune"
    epochs = recipe.tune.epochs or recipe.train.epochs
    places = {name: folder / name / digest(recipe, name) for name in methods if space_of(recipe, name)}
    waiting = [name for name, place in places.items() if not is_searched(place, trials)]
    if waiting:  # a wrong place would cost its trials, and give the methods that drew it fewer than the others
        task, searched = cached_task(recipe, measured=False), {name: _choices(recipe, name) for name in places}
        check_places(recipe, methods, task, searched)
    jobs = [
        Job(f"tune {name}", search, (recipe, name, trials, place, device), place, trials * epochs, tried_epochs)
        for name, place in ((name, places[name].absolute()) for name in waiting)
    ]
    failed = run_jobs(jobs, executor)
    if failed:
        raise FeatmaskError(listed("tuning failed", failed))
    bests = {name: BEST.read(place) for name, place in places.items()}
    tuned = recipe
    for name, best in bests.items():
        tuned = with_options(tuned, name, settings_of(best.best))
    nothing: dict[str, Any] = {"space": {}, "best": None, "value": None, "trials": []}
    record = TuningRecord(
        trials=trials,
        metric=next((best.metric for best in bests.values()), None),
        epochs=epochs,
        seed=recipe.tune.seed,
        recipe=recipe.key(),
        seconds=sum(best.seconds for best in bests.values()),
        methods={name: bests[name].plain() if name in bests else nothing for name in methods},
    )
    TUNING.write(folder, record)
    write_text(folder / TUNED, yaml.safe_dump(tuned.plain(), sort_keys=False))
    return tuned, record


def _check(recipe: Recipe, trials: int) -> None:
    if trials < 1:
        raise FeatmaskError(f"tune: expected one trial or more, got {trials}")
    if not recipe.data.validation:
        raise FeatmaskError("tuning needs data.validation above 0: nothing is chosen on test data")
    if recipe.tune.seed < recipe.seeds:
        raise FeatmaskError(f"tune.seed {recipe.tune.seed} is a seed of the comparison; choose another")
    require("optuna", "tune")


def _choices(recipe: Recipe, method: str) -> tuple[Any, ...]:
    return next((dimension.choices for dimension in space_of(recipe, method) if dimension.name == "at"), ())
