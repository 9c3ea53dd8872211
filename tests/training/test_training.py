"""Training: what a kill interrupts ends where an uninterrupted run does, and seeds mean what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from featmask.classification.task import Classification
from featmask.errors import FeatmaskError
from featmask.models import read_checkpoint
from featmask.records.run import read_epochs
from featmask.study.fields import parse_recipe, read_recipe
from featmask.study.run import make_model, put_method, train_run
from featmask.training import fit
from featmask.training.sampling import Shuffle


@pytest.fixture(scope="module")
def digits():
    """The task on digits, its images augmented."""
    raw = {"name": "digits", "data": {"name": "digits", "augment": ["shift"]}, "model": {"name": "resnet8"}}
    return Classification(parse_recipe({**raw, "methods": {"none": None}}, "here"))


def train(recipe_file: Path, digits, folder: Path, *changes: str, seed: int = 0, method: str = "lfm"):
    recipe = read_recipe(recipe_file, changes)
    model = make_model(recipe, digits, seed)
    put_method(recipe, method, model, digits)
    lesson = digits.training_task(recipe, model, seed)
    return fit(model, lesson, recipe.train, seed=seed, folder=folder, device="cpu")


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "extra", [(), ("train.ema=0.9", "train.select=best", "train.optimizer=adamw", "train.lr=0.01")]
)
def test_a_killed_run_ends_bit_for_bit_like_an_uninterrupted_one(
    recipe_file, digits, tmp_path, killed_after_two_epochs, extra
):
    whole = train(recipe_file, digits, tmp_path / "whole", *extra)
    with killed_after_two_epochs():
        train(recipe_file, digits, tmp_path / "killed", *extra)
    resumed = train(recipe_file, digits, tmp_path / "killed", *extra)
    assert same(whole, resumed)
    logs = [read_epochs(tmp_path / name) for name in ("whole", "killed")]
    for line in logs[0] + logs[1]:
        del line["seconds"]
    assert logs[0] == logs[1]
    assert [line["epoch"] for line in logs[0]] == [1, 2, 3]


def test_seeds_repeat_and_differ(recipe_file, digits, tmp_path):
    first = train(recipe_file, digits, tmp_path / "a", "train.epochs=1")
    again = train(recipe_file, digits, tmp_path / "b", "train.epochs=1")
    other = train(recipe_file, digits, tmp_path / "c", "train.epochs=1", seed=1)
    assert same(first, again)
    assert not same(first, other)


def test_methods_of_a_seed_start_from_the_same_weights_and_part_in_training(recipe_file, digits, tmp_path):
    recipe = read_recipe(recipe_file)
    assert same(make_model(recipe, digits, 3), make_model(recipe, digits, 3))
    none = train(recipe_file, digits, tmp_path / "a", "train.epochs=1", method="none")
    lfm = train(recipe_file, digits, tmp_path / "b", "train.epochs=1")
    assert not same(none, lfm)


def test_it_learns(recipe_file, digits, tmp_path):
    train(recipe_file, digits, tmp_path)
    lines = read_epochs(tmp_path)
    assert lines[-1]["val_accuracy"] > 0.9
    assert lines[-1]["train_loss"] < lines[0]["train_loss"] / 4


@pytest.mark.parametrize(
    "change", ["train.amp=bf16", "train.clip_grad=1.0", "train.schedule=steps", "train.channels_last=false"]
)
def test_options_train(recipe_file, digits, tmp_path, change):
    train(recipe_file, digits, tmp_path, change)
    assert read_epochs(tmp_path)[-1]["val_accuracy"] > 0.8


def test_gradient_clipping_bounds_the_step(recipe_file, digits, tmp_path):
    """Plain SGD without decay: one step moves the weights by at most rate * norm."""
    changes = ("train.epochs=1", "train.batch_size=1200", "train.momentum=0", "train.weight_decay=0",
               "train.warmup_epochs=0", "train.clip_grad=0.01", "train.lr=1.0")  # fmt: skip
    recipe = read_recipe(recipe_file, changes)
    before = make_model(recipe, digits, 0)
    after = train(recipe_file, digits, tmp_path, *changes)
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    moved = sum(((a - b) ** 2).sum() for a, b in pairs).sqrt()
    assert 0.009 < moved <= 0.0101


def test_averaged_weights_are_the_average(recipe_file, digits, tmp_path):
    """With one step per epoch and decay d the average after two steps is d * w1 + (1 - d) * w2."""
    base = ("train.batch_size=1200", "train.warmup_epochs=0", "train.schedule=constant", "train.lr=0.01")
    w1 = train(recipe_file, digits, tmp_path / "1", *base, "train.epochs=1").state_dict()
    w2 = train(recipe_file, digits, tmp_path / "2", *base, "train.epochs=2").state_dict()
    average = train(recipe_file, digits, tmp_path / "a", *base, "train.epochs=2", "train.ema=0.75").state_dict()
    name = "model.conv1.weight"
    assert torch.allclose(average[name], 0.75 * w1[name] + 0.25 * w2[name], atol=1e-6)


def test_a_loss_that_is_not_finite_stops_with_advice(recipe_file, digits, tmp_path):
    with pytest.raises(FeatmaskError, match=r"lower train\.lr"):
        train(recipe_file, digits, tmp_path, "train.lr=1e30")


def test_the_state_of_another_model_is_refused(recipe_file, digits, tmp_path):
    train(recipe_file, digits, tmp_path, "train.epochs=1")
    with pytest.raises(FeatmaskError, match="cannot continue from"):
        train(recipe_file, digits, tmp_path, "model.name=resnet14")


def test_sample_weights_reach_the_loss(recipe_file, digits, tmp_path):
    """Samples of weight zero teach nothing: with only zeros labelled as the weightless class stays unlearnt."""
    import numpy as np

    table = digits.splits.train.table
    table.weights = (table.labels != 3).astype(np.float64)
    try:
        model = train(recipe_file, digits, tmp_path)
    finally:
        table.weights = None
    model.eval()
    with torch.no_grad():
        test = digits.splits.test
        threes = [test[i].image for i in range(len(test)) if test.labels[i] == 3]
        assert (model(torch.stack(threes)).argmax(1) == 3).float().mean() < 0.05


def test_shuffle_is_a_permutation_of_its_own_for_every_epoch():
    sampler = Shuffle(100, seed=5)
    orders = []
    for sampler.epoch in range(3):
        orders.append(list(sampler))
        assert sorted(orders[-1]) == list(range(100))
    assert orders[0] != orders[1] != orders[2]


def test_a_device_that_is_not_here(recipe_file, digits, tmp_path):
    if not torch.cuda.is_available():
        with pytest.raises(FeatmaskError, match="no CUDA device"):
            train_run(read_recipe(recipe_file), "none", 0, tmp_path, digits, "cuda")


def test_what_is_reported_as_dropped_is_what_the_method_drops(recipe_file, digits):
    recipe = read_recipe(recipe_file)
    info = put_method(recipe, "dropout", make_model(recipe, digits, 0), digits)
    assert info["dropped_fraction"] == pytest.approx(0.1, abs=0.002)
    assert info["point"] == "stem"
    assert put_method(recipe, "cutout", make_model(recipe, digits, 0), digits)["point"] == "input"
    assert put_method(recipe, "none", make_model(recipe, digits, 0), digits)["dropped_fraction"] == 0


@pytest.mark.parametrize("select", ["last", "best"])
def test_the_record_is_of_the_epoch_that_is_kept(recipe_file, digits, tmp_path, select):
    recipe = read_recipe(recipe_file, [f"train.select={select}", "train.epochs=4"])
    train_run(recipe, "none", 0, tmp_path, digits, "cpu")
    _, header = read_checkpoint(tmp_path / "model.safetensors")
    accuracies = [line["val_accuracy"] for line in read_epochs(tmp_path)]
    assert header.run.validation["val_accuracy"] == (max(accuracies) if select == "best" else accuracies[-1])
    assert header.run.best_epoch == (accuracies.index(max(accuracies)) + 1 if select == "best" else None)
