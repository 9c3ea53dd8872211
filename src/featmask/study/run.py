"""One run: a recipe, a method and a seed become a trained, measured model in a folder of its own."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml

from ..family import build_layer, dropped_fraction
from ..insert import attached
from ..models import Normalized, load_into, read_checkpoint, save_checkpoint
from ..recipe import Recipe
from ..records.checkpoint import Header
from ..records.run import ENVIRONMENT, RECIPE, RUN, RecordedRecipe, RunInfo, read_epochs
from ..records.suite import is_written, suite_path
from ..training import fit, seed_everything
from ..training.processes import count, from_main, together
from ..training.schedules import steering
from ..utils.files import write_text
from ..utils.versions import environment
from .fields import FIELDS, parse_recipe
from .places import example_for, places_of, put
from .task import AnyTask

CHECKPOINT = "model.safetensors"
#: An epoch number that no training reaches: the seed of the weights' initial values.
INITIAL = 2**31
#: Samples of the measured dropped share; fewer where maps are so large that it would take long.
MEASURED = 2048
MEASURED_VALUES = 4e8


def make_model(recipe: Recipe, task: AnyTask, seed: int) -> Normalized:
    """The recipe's model, normalisation inside, the same initial weights for every method of a seed."""
    seed_everything(seed, INITIAL)
    return task.model(recipe)


def put_method(recipe: Recipe, name: str, model: Normalized, task: AnyTask) -> dict[str, Any]:
    """Attach a method's layer; give what ``run.json`` says of it: layer, point, options, the share really dropped.

    The share is that at the full probability, also where a schedule leads up to it; of several places, their mean.
    """
    method = recipe.method(name)
    layer = build_layer(method.layer, **method.options)
    info: dict[str, Any] = {"layer": method.layer, "options": method.options, "point": None, "dropped_fraction": 0.0}
    if layer is None:
        return info
    places = places_of(method)
    attachment = put(name, layer, model, places, example_for(recipe, model, task))
    shares = []
    for each, point in zip(attachment.layers, attachment.points, strict=True):
        shape = point.channels, point.height, point.width
        samples = int(min(MEASURED, max(128, MEASURED_VALUES // math.prod(shape))))
        shares.append(dropped_fraction(each, shape, samples=samples, batch_size=4))
    info["point"] = ", ".join(places)
    info["dropped_fraction"] = sum(shares) / len(shares)
    if method.schedule is not None:
        info["schedule"] = method.schedule.model_dump()
    return info


def run_folder(out: Path, recipe: Recipe, method: str, seed: int) -> Path:
    """``out/<recipe>/<key>/<method>/seed-<seed>``."""
    return study_folder(out, recipe) / method / f"seed-{seed}"


def study_folder(out: Path, recipe: Recipe) -> Path:
    """``out/<recipe>/<key>``: everything in it was trained under the same settings."""
    return out / recipe.name / recipe.key()


def is_finished(recipe: Recipe, folder: Path) -> bool:
    """Whether the run is trained and measured as the recipe says."""
    info = RUN.find(folder)
    if info is None:
        return False
    try:  # through the schema: a key that is newer than the run has its default
        same = type(recipe.evaluate).model_validate(info.evaluate) == recipe.evaluate
    except ValueError:
        return False
    return same and all(is_written(suite_path(folder, suite)) for suite in recipe.suite_names())


def train_run(recipe: Recipe, method: str, seed: int, folder: Path, task: AnyTask, device: str = "auto") -> None:
    """Train one model, or go on where a killed run stopped; leaves ``model.safetensors`` in ``folder``.

    Processes that a launcher has started share the training; the main one decides and writes.
    """
    with together(device) as main:
        if from_main((folder / CHECKPOINT).is_file()):
            return
        own = recipe.under(method)
        model = make_model(own, task, seed)
        put = put_method(own, method, model, task)
        learning = task.training_task(own, model, seed)
        learning.loader(own.train)  # what cannot be taught, or not by so many processes, leaves no folder
        if main:
            folder.mkdir(parents=True, exist_ok=True)
            write_text(folder / "recipe.yaml", yaml.safe_dump(recipe.plain(), sort_keys=False))
            RECIPE.write(folder, RecordedRecipe.model_validate(recipe.plain()))
            ENVIRONMENT.write(folder, environment(recipe.task))
        trained = fit(
            model,
            learning,
            own.train,
            seed=seed,
            folder=folder,
            device=device,
            title=f"{method}, seed {seed}",
            before_step=steering(own.method(method), [layer for _, layer in attached(model.model)]),
        )
        if not main:
            return
        lines = read_epochs(folder)
        best = own.train.select == "best"
        kept = max(lines, key=lambda line: line[learning.best_by]) if best else lines[-1]
        info = RunInfo(
            **put,
            method=method,
            seed=seed,
            set=recipe.methods[method].set if method in recipe.methods else {},
            parameters=sum(parameter.numel() for parameter in trained.parameters()),
            epochs=len(lines),
            processes=count(),
            seconds_per_epoch=median(line["seconds"] for line in lines),
            **{name: value for name, value in kept.items() if name.startswith("val_")},
            best_by=learning.best_by,
            best_epoch=int(kept["epoch"]) if best else None,
        )
        mean, std = model.mean.flatten().tolist(), model.std.flatten().tolist()
        header = Header(recipe=recipe.plain(), run=info, **task.about(), mean=mean, std=std)
        save_checkpoint(folder / CHECKPOINT, trained, header)
        shutil.rmtree(folder / "state", ignore_errors=True)  # it is needed to go on, and this run is done


def measure_run(recipe: Recipe, folder: Path, task: AnyTask, device: str = "auto") -> None:
    """Evaluate a trained run's checkpoint as the recipe says; ``run.json`` comes last and means: finished."""
    (folder / RUN.name).unlink(missing_ok=True)
    model, header = load_model(folder / CHECKPOINT)
    start = time.perf_counter()
    for _ in task.measure(recipe.under(header.run.method), model, device, folder=folder):
        pass  # each record is written when it is measured
    spent = {"evaluate": recipe.plain()["evaluate"], "seconds_measuring": time.perf_counter() - start}
    RUN.write(folder, header.run.model_copy(update=spent))


def load_model(path: str | Path) -> tuple[Normalized, Header]:
    """Rebuild the model of a checkpoint, without its mask: inference needs none.

    Raises:
        FeatmaskError: unreadable, not ours, or of another model than its header says.
    """
    tensors, header = read_checkpoint(path)
    recipe = parse_recipe(header.recipe, str(path)).under(header.run.method)
    model = FIELDS[recipe.task].rebuild(recipe, header)
    load_into(model, tensors, path)
    if recipe.train.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return model, header
