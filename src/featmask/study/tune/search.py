"""The search for one method's options: trials one after the other, each learning from those before.

Optuna's journal is the memory: a search that is killed goes on where it stopped, and ends where an undisturbed one
does.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import FeatmaskError, require
from ...family import member
from ...family.space import Dimension
from ...jobs import epochs_done
from ...models import read_checkpoint
from ...recipe import Recipe
from ...records.tuning import BEST, BestRecord, Extent, Settings, Trial
from ..cached_task import cached_task
from ..run import CHECKPOINT, train_run
from ..task import AnyTask
from .space import space_of, with_options

if TYPE_CHECKING:
    import optuna

#: Trials before the sampler begins to learn from them; the first is the recipe's own options.
STARTUP = 4


def tried_epochs(folder: Path) -> int:
    """Epochs of all trials in a search's folder."""
    return sum(epochs_done(trial) for trial in folder.glob("trial-*"))


def search(recipe: Recipe, method: str, trials: int, folder: Path, device: str) -> None:
    """One method's trials; leaves ``best.json`` in ``folder``."""
    task = cached_task(recipe, measured=False)
    space = space_of(recipe, method)
    study = _study(folder, method)
    start = time.perf_counter()
    while (number := len(_valid(study))) < trials:
        trial = _ask(study, number, _own(recipe, method, space))
        settings = {dimension.name: dimension.suggest(trial) for dimension in space}
        trial.set_user_attr("settings", settings)
        try:
            value, metric = _try(recipe, method, settings, folder / f"trial-{number:03d}", task, device)
        except FeatmaskError as error:
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=_states().FAIL)
            continue
        trial.set_user_attr("metric", metric)
        study.tell(trial, value)
    _leave(study, space, folder, trials, time.perf_counter() - start)


def _try(
    recipe: Recipe, method: str, settings: dict[str, Any], folder: Path, task: AnyTask, device: str
) -> tuple[float, str]:
    """Train with these settings; the figure on validation data by which epochs are chosen, and its name."""
    tried = with_options(recipe, method, settings)
    if recipe.tune.epochs:
        tried = tried.model_copy(update={"train": tried.train.model_copy(update={"epochs": recipe.tune.epochs})})
    train_run(tried, method, recipe.tune.seed, folder, task, device)
    _, header = read_checkpoint(folder / CHECKPOINT, header_only=True)
    (folder / CHECKPOINT).unlink()  # only its figure is needed
    metric = header.run.best_by or ""
    return float(header.run.validation[metric]), metric


def digest(recipe: Recipe, method: str) -> str:
    """Of what a search depends on beside its recipe: another space, or longer trials, are another search."""
    space = {dimension.name: dimension.plain() for dimension in space_of(recipe, method)}
    text = json.dumps([space, recipe.tune.epochs, recipe.tune.seed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _study(folder: Path, method: str) -> optuna.Study:
    library = require("optuna", "tune")
    journal = require("optuna.storages.journal", "tune")
    library.logging.set_verbosity(library.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    backend = journal.JournalFileBackend(str(folder / "optuna.journal"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that journals are experimental
        storage = library.storages.JournalStorage(backend)
        study: optuna.Study = library.create_study(
            storage=storage, study_name=method, direction="maximize", load_if_exists=True
        )
    for trial in study.get_trials(deepcopy=False, states=(_states().RUNNING,)):
        study.tell(trial.number, state=_states().FAIL)  # of a killed search: struck out, and suggested once more
    return study


def _states() -> Any:
    return require("optuna.trial", "tune").TrialState


def _valid(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Finished trials, those that failed by themselves included: they cost as much."""
    ended = study.get_trials(deepcopy=False, states=(_states().COMPLETE, _states().FAIL))
    return [trial for trial in ended if trial.value is not None or "error" in trial.user_attrs]


def _ask(study: optuna.Study, number: int, own: dict[str, Any]) -> optuna.Trial:
    """The next trial: first the recipe's own options, then what the sampler suggests.

    The sampler's random numbers come from the trial's number: an interrupted search suggests what it would have.
    """
    study.sampler = require("optuna", "tune").samplers.TPESampler(seed=number, n_startup_trials=STARTUP)
    if number == 0:
        study.enqueue_trial(own)
    return study.ask()


def _own(recipe: Recipe, method: str, space: Sequence[Dimension]) -> dict[str, Any]:
    """What the recipe says itself, as far as it lies in the space."""
    chosen = recipe.method(method)
    known = member(chosen.layer).defaults | chosen.options | {"at": chosen.at}
    positions = {dimension.name: dimension.position(known.get(dimension.name)) for dimension in space}
    return {name: value for name, value in positions.items() if value is not None}


def _leave(study: optuna.Study, space: Sequence[Dimension], folder: Path, trials: int, seconds: float) -> None:
    finished = _valid(study)
    complete = [trial for trial in finished if trial.value is not None]
    if not complete:
        why = finished[-1].user_attrs.get("error", "") if finished else ""
        raise FeatmaskError(f"none of {trials} trials could be finished; the last one: {why}")
    best = max(complete, key=lambda trial: trial.value or 0.0)  # the first of equals
    record = BestRecord(
        budget=trials,
        metric=best.user_attrs["metric"],
        seconds=seconds,
        space={dimension.name: Extent.model_validate(dimension.plain()) for dimension in space},
        best=Settings(**_split(best.user_attrs["settings"])),
        value=best.value,
        trials=[
            Trial(
                number=number,
                **_split(trial.user_attrs["settings"]),
                value=trial.value,
                state=trial.state.name.lower(),
                **({"error": trial.user_attrs["error"]} if "error" in trial.user_attrs else {}),
            )
            for number, trial in enumerate(finished)
        ],
    )
    BEST.write(folder, record)


def _split(settings: dict[str, Any]) -> dict[str, Any]:
    return {"at": settings.get("at"), "options": {key: value for key, value in settings.items() if key != "at"}}


def settings_of(best: Settings) -> dict[str, Any]:
    """Options and place of a record, as :func:`with_options` takes them."""
    return best.options | ({} if best.at is None else {"at": best.at})


def is_searched(folder: Path, trials: int) -> bool:
    """Whether a search of that budget is finished."""
    best = BEST.find(folder)
    return best is not None and best.budget == trials
