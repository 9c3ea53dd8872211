"""One run: a recipe, a method and a seed become a trained, measured model in a folder of its own."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml
from torch import nn

from .data import Images, Splits, load_images
from .devices import pick_device
from .environment import environment
from .evaluation import Evaluation, evaluate, linf_attacks
from .family import build_layer, dropped_fraction, member
from .files import write_json, write_text
from .insert import attach, point_shape
from .models import Normalized, build_model, load_into, pretrained_statistics, read_checkpoint, save_checkpoint
from .recipe import ChosenMethod, Evaluate, Recipe, parse_recipe
from .results import read_lines
from .training import fit, seed_everything

CHECKPOINT = "model.safetensors"
FINISHED = "run.json"
#: An epoch number that no training reaches: the seed of the weights' initial values.
INITIAL = 2**31
#: Samples of the measured dropped share; fewer where maps are so large that it would take long.
MEASURED = 2048
MEASURED_VALUES = 4e8


def load_data(recipe: Recipe) -> Splits:
    """The recipe's data."""
    settings = recipe.data.model_dump()
    return load_images(settings.pop("name"), **settings)


def make_model(recipe: Recipe, splits: Splits, seed: int) -> Normalized:
    """The recipe's model, normalisation inside, the same initial weights for every method of a seed."""
    seed_everything(seed, INITIAL)
    pretrained = recipe.model.pretrained
    model = build_model(
        recipe.model.name,
        num_classes=len(splits.classes),
        in_chans=3 if pretrained else splits.channels,
        pretrained=pretrained,
    )
    mean, std = pretrained_statistics(model) if pretrained else splits.train.statistics()
    return Normalized(model, mean, std)


def put_method(recipe: Recipe, name: str, model: Normalized, splits: Splits) -> dict[str, Any]:
    """Attach a method's layer; tell what was done: layer, point, options, the share that is really dropped."""
    method = recipe.method(name)
    layer = build_layer(method.layer, **method.options)
    info: dict[str, Any] = {"layer": method.layer, "options": method.options, "point": None, "dropped_fraction": 0.0}
    if layer is None:
        return info
    size = splits.train[0].image.shape[-1]
    example = torch.zeros(1, model.mean.shape[1], size, size)
    places = places_of(method)
    shares = []
    for place in places:
        shape = point_shape(model.model, place, example=example)
        samples = int(min(MEASURED, max(128, MEASURED_VALUES // math.prod(shape))))
        shares.append(dropped_fraction(layer, shape, samples=samples, batch_size=4))
    attach(model.model, layer, at=places, example=example)
    info["point"] = ", ".join(places)
    info["dropped_fraction"] = sum(shares) / len(shares)
    return info


def places_of(method: ChosenMethod) -> list[str]:
    """Where a method's layer goes: as the recipe says, or the model's input for layers that belong there."""
    if member(method.layer).place == "input":
        return ["input"]
    return [method.at] if isinstance(method.at, str) else list(method.at)


def run_folder(out: Path, recipe: Recipe, method: str, seed: int) -> Path:
    """``out/<recipe>/<key>/<method>/seed-<seed>``."""
    return study_folder(out, recipe) / method / f"seed-{seed}"


def study_folder(out: Path, recipe: Recipe) -> Path:
    """``out/<recipe>/<key>``: everything in it was trained under the same settings."""
    return out / recipe.name / recipe.key()


def is_finished(recipe: Recipe, folder: Path) -> bool:
    """Whether the run is trained and measured as the recipe says."""
    path = folder / FINISHED
    if not path.is_file():
        return False
    recorded: dict[str, Any] = json.loads(path.read_text())
    return bool(recorded.get("evaluate") == recipe.plain()["evaluate"])


def train_run(recipe: Recipe, method: str, seed: int, folder: Path, splits: Splits, device: str = "auto") -> None:
    """Train one model, or go on where a killed run stopped; leaves ``model.safetensors`` in ``folder``."""
    if (folder / CHECKPOINT).is_file():
        return
    model = make_model(recipe, splits, seed)
    info = put_method(recipe, method, model, splits)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "recipe.yaml", yaml.safe_dump(recipe.plain(), sort_keys=False))
    write_json(folder / "recipe.json", recipe.plain())
    write_json(folder / "env.json", environment())
    trained = fit(model, splits, recipe.train, seed=seed, folder=folder, device=device, title=f"{method}, seed {seed}")
    lines = read_lines(folder / "train.jsonl")
    best = recipe.train.select == "best"
    kept = max(lines, key=lambda line: line["val_accuracy"]) if best else lines[-1]
    info |= {
        "method": method,
        "seed": seed,
        "parameters": sum(parameter.numel() for parameter in trained.parameters()),
        "epochs": len(lines),
        "seconds_per_epoch": median(line["seconds"] for line in lines),
        "val_accuracy": kept["val_accuracy"],
        "best_epoch": kept["epoch"] if best else None,
    }
    meta = {
        "recipe": recipe.plain(),
        "run": info,
        "classes": list(splits.classes),
        "mean": model.mean.flatten().tolist(),
        "std": model.std.flatten().tolist(),
    }
    save_checkpoint(folder / CHECKPOINT, trained, meta)
    shutil.rmtree(folder / "state", ignore_errors=True)  # it served to go on; there is nothing left to go on with


def measure_run(recipe: Recipe, folder: Path, splits: Splits, device: str = "auto") -> None:
    """Evaluate a trained run's checkpoint as the recipe says; ``run.json`` comes last and means: finished."""
    (folder / FINISHED).unlink(missing_ok=True)
    model, meta = load_model(folder / CHECKPOINT)
    settings = recipe.evaluate
    for suite in settings.suites:
        limit = None if suite == "clean" else settings.attack_samples
        images = splits.test if limit is None else splits.test.head(limit)
        measure(model, images, suite, settings, device).save(folder)
    write_json(folder / FINISHED, {**meta["run"], "evaluate": recipe.plain()["evaluate"]})


def measure(model: nn.Module, images: Images, suite: str, settings: Evaluate, device: str = "auto") -> Evaluation:
    """One suite with a recipe's attacks."""
    return evaluate(
        model,
        images,
        suite,
        attacks=linf_attacks(settings.eps, settings.steps),
        batch_size=settings.batch_size,
        device=pick_device(device),
    )


def load_model(path: str | Path) -> tuple[Normalized, dict[str, Any]]:
    """Rebuild the model of a checkpoint, without its mask: inference needs none.

    Raises:
        FeatmaskError: unreadable, not ours, or of another model than its header says.
    """
    tensors, meta = read_checkpoint(path)
    recipe = parse_recipe(meta["recipe"], str(path))
    backbone = build_model(recipe.model.name, num_classes=len(meta["classes"]), in_chans=len(meta["mean"]))
    model = Normalized(backbone, meta["mean"], meta["std"])
    load_into(model, tensors, path)
    if recipe.train.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return model, meta
