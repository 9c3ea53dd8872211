"""How embedders are taught: every key of a recipe reaches the step that it names, and that alone."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import chain

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from featmask.models import read_checkpoint
from featmask.recipe import override
from featmask.records.run import read_epochs
from featmask.reid import training as identities
from featmask.reid.models import Descriptor, Outputs
from featmask.study.fields import open_task, parse_recipe
from featmask.study.run import make_model, put_method, train_run
from featmask.training import loop as training
from featmask.utils.eval_mode import evaluating

pytest.importorskip("PIL.Image")
pytest.importorskip("pytorch_metric_learning")

SHAPE = {"height": 48, "width": 24}
WORLD = {"train_ids": 6, "test_ids": 2, "cameras": 2, "shots": 2, "distractors": 1, "junk": 0, **SHAPE}
RAW = {
    "name": "tiny",
    "task": "reid",
    "data": {"name": "synthetic", **SHAPE, "validation": 0.34, "world": WORLD},
    "model": {"name": "resnet8", "head": "bnneck"},
    "train": {"epochs": 2, "batch_size": 8, "images_per_person": 2, "lr": 0.02, "tensorboard": False},
    "methods": {
        "none": None,
        "lfm": None,
        "erasing": {"layer": "none", "set": {"augment.erasing": 1.0}},
        "goat": {"layer": "none", "set": {"train.adversarial": {"kind": "goat", "eps": "4/255", "steps": 2}}},
    },
}  # fmt: skip
#: One step of plain gradient descent on all images.
ONE_STEP = (
    "train.epochs=1", "train.batch_size=16", "train.images_per_person=0", "train.momentum=0", "train.weight_decay=0",
    "train.schedule=constant", "data.validation=0.34",
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("cache")


def recipe_of(*changes: str):
    return parse_recipe(override(RAW, changes), "here")


@pytest.fixture(scope="module")
def task(cache):
    found = open_task(recipe_of())
    assert len(found.splits.train) == 16
    return found


def fit(task, folder, *changes: str, seed: int = 0, method: str = "none"):
    """The trained model, and the objective that it was taught by."""
    recipe = recipe_of(*changes).under(method)
    model = make_model(recipe, task, seed)
    put_method(recipe, method, model, task)
    lesson = task.training_task(recipe, model, seed)
    trained = training.fit(model, lesson, recipe.train, seed=seed, folder=folder, device="cpu")
    return trained, lesson.objective


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def moved(task, folder, *changes: str) -> dict[str, torch.Tensor]:
    """Displacement of every parameter in one step."""
    before = dict(make_model(recipe_of(*ONE_STEP, *changes), task, 0).named_parameters())
    trained, _ = fit(task, folder, *ONE_STEP, *changes)
    assert len(read_epochs(folder)) == 1
    return {name: (p - before[name]).detach() for name, p in trained.named_parameters()}


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("none", ("train.images_per_person=0", "train.losses={cross_entropy: {}, arcface: {}}")),
        ("lfm", ("train.losses={triplet: {}, arcface: {}}", "train.ema=0.9", "train.optimizer=adam")),
        ("goat", ("augment={flip: 0.5, pad: 4, erasing: 0.5}", "train.select=best")),
    ],
)  # fmt: skip
def test_a_killed_run_ends_bit_for_bit_like_an_uninterrupted_one(
    task, tmp_path, killed_after_two_epochs, method, changes
):
    changes = ("train.epochs=3", *changes)
    whole, taught = fit(task, tmp_path / "whole", *changes, method=method)
    with killed_after_two_epochs():
        fit(task, tmp_path / "killed", *changes, method=method)
    resumed, again = fit(task, tmp_path / "killed", *changes, method=method)
    assert same(state(whole), state(resumed))
    assert same(state(taught), state(again))
    assert ("arcface" in " ".join(changes)) == bool(state(taught))
    logs = [read_epochs(tmp_path / name) for name in ("whole", "killed")]
    assert [{**line, "seconds": 0} for line in logs[0]] == [{**line, "seconds": 0} for line in logs[1]]
    assert [line["epoch"] for line in logs[0]] == [1, 2, 3]


@pytest.mark.parametrize("images", [0, 2, 4])
def test_batches_are_as_the_recipe_says_and_others_in_every_epoch(task, tmp_path, images):
    recipe = recipe_of(f"train.images_per_person={images}")
    model = make_model(recipe, task, 0)
    lesson, rows = task.training_task(recipe, model, 3), []

    class Noting(Dataset):
        def __len__(self):
            return len(lesson.data)

        def __getitem__(self, row):
            rows.append(row)
            return lesson.data[row]

    training.fit(model, replace(lesson, data=Noting()), recipe.train, seed=3, folder=tmp_path, device="cpu")
    assert len(rows) == 2 * 16
    assert rows[:16] != rows[16:]
    for start in range(0, 32, 8):
        labels = task.splits.train.labels[rows[start : start + 8]].tolist()
        if images:
            assert sorted(Counter(labels).values()) == [images] * (8 // images)
    if not images:
        assert sorted(rows[:16]) == sorted(rows[16:]) == list(range(16))
    again = task.training_task(recipe, model, 3).order
    again.epoch = 1
    assert rows[16:] == list(again if not images else chain.from_iterable(again))


def test_weights_of_a_loss_are_trained(task, tmp_path):
    recipe = recipe_of("train.losses={arcface: {}}")
    training.seed_everything(0, 1)
    model = make_model(recipe, task, 0)
    lesson = task.training_task(recipe, model, 0)
    before = state(lesson.objective)
    training.fit(model, lesson, recipe.train, seed=0, folder=tmp_path, device="cpu")
    assert before
    assert all(not torch.equal(tensor, before[name]) for name, tensor in state(lesson.objective).items())


@pytest.mark.parametrize("share", [0.25, 0.0])
def test_the_backbones_rate_is_the_backbones(task, tmp_path, share):
    whole = moved(task, tmp_path / "whole")
    some = moved(task, tmp_path / "some", f"train.backbone_rate={share}")
    backbone = {name for name in whole if ".backbone." in name}
    assert 0 < len(backbone) < len(whole)
    for name, change in whole.items():
        part = share if name in backbone else 1.0
        assert torch.allclose(some[name], part * change, rtol=1e-3, atol=1e-7), name
    assert any(whole[name].abs().max() > 1e-4 for name in backbone)
    assert any(whole[name].abs().max() > 1e-4 for name in whole.keys() - backbone)


def test_a_warm_up_of_the_loss_shortens_the_step_and_not_the_log(task, tmp_path):
    plain = moved(task, tmp_path / "plain")
    warm = moved(task, tmp_path / "warm", "train.warmup_of=loss", "train.warmup_steps=4", "train.warmup_start=0.1")
    for name, change in plain.items():
        assert torch.allclose(warm[name], 0.28 * change, rtol=1e-3, atol=1e-7), name  # 0.1 + 0.9 / 5
    lines = [read_epochs(tmp_path / name)[0] for name in ("plain", "warm")]
    assert lines[0]["train_loss"] == lines[1]["train_loss"]
    assert lines[0]["lr"] == lines[1]["lr"] == 0.02


def test_decay_reaches_norms_if_the_recipe_says_so(task, tmp_path):
    plain = moved(task, tmp_path / "plain")
    before = dict(make_model(recipe_of(), task, 0).named_parameters())
    for decay_all in (False, True):
        some = moved(task, tmp_path / str(decay_all), "train.weight_decay=0.5", f"train.decay_all={decay_all}")
        for name, change in plain.items():
            decayed = before[name].requires_grad and (decay_all or before[name].ndim > 1)
            extra = -0.02 * 0.5 * before[name] if decayed else torch.zeros(())
            assert torch.allclose(some[name], change + extra, atol=1e-6), name


def test_what_a_method_sets_is_its_own(task, tmp_path):
    recipe = recipe_of()
    plain = recipe.plain()
    model = make_model(recipe, task, 0)
    colour = model.mean.view(3, 1)

    def erased(name: str) -> list[bool]:
        lesson = task.training_task(recipe.under(name), model, 0)
        images = [lesson.data[row].image.flatten(1) for row in range(16)]
        return [bool((image == colour).all(0).any()) for image in images]

    assert all(erased("erasing"))
    assert not any(erased("none"))
    assert task.training_task(recipe.under("none"), model, 0).objective.adversarial is None
    assert task.training_task(recipe.under("goat"), model, 0).objective.adversarial.kind == "goat"
    assert recipe.plain() == plain
    runs = {}
    for name in ("none", "erasing", "goat"):
        train_run(recipe, name, 0, tmp_path / name, task, "cpu")
        runs[name], header = read_checkpoint(tmp_path / name / "model.safetensors")
        assert header.recipe == plain  # the study's
        assert header.run.set == recipe.methods[name].set
    assert not same(runs["none"], runs["erasing"])
    assert not same(runs["none"], runs["goat"])


class Killed(Exception):
    pass


def test_a_seeds_first_weights_are_every_methods(task, tmp_path, monkeypatch):
    """Those of the model and those of the loss."""
    from featmask.study import run as experiment

    first = {}

    def stop(model, lesson, settings, *, seed, folder, device, title, before_step):
        first[title] = state(model) | state(lesson.objective)
        raise Killed

    monkeypatch.setattr(experiment, "fit", stop)
    for seed in (0, 1):
        for name in RAW["methods"]:
            torch.manual_seed(len(first))
            with pytest.raises(Killed):
                train_run(recipe_of("train.losses={arcface: {}}"), name, seed, tmp_path / name / str(seed), task, "cpu")
    for seed in (0, 1):
        for name in RAW["methods"]:
            assert same(first[f"{name}, seed {seed}"], first[f"none, seed {seed}"])
    assert not same(first["none, seed 0"], first["none, seed 1"])


@pytest.fixture
def batch(task):
    rows = [row for label in range(4) for row in (task.splits.train.labels == label).nonzero()[0][:2]]
    images = torch.stack([task.splits.train[int(row)].image for row in rows])
    return images, torch.tensor([task.splits.train[int(row)].label for row in rows]), torch.ones(8)


def test_adversarial_training_is_a_plain_step_on_attacked_images(task, batch, monkeypatch):
    """Loss, gradients, BatchNorm's statistics and modes are those of a step on the images that the attack gave."""
    recipe = recipe_of("train.losses={cross_entropy: {}, triplet: {margin: 0.3}}").under("goat")
    model = make_model(recipe, task, 0).train()
    frozen = model.model.backbone.bn1
    frozen.eval()
    plain = copy.deepcopy(model)
    objective = task.training_task(recipe, model, 0).objective
    seen = []
    true = identities.adversarial_batch

    def spy(embed, pixels, labels, **options):
        assert not any(module.training for module in model.modules())
        assert isinstance(embed, Descriptor)
        assert options == {"kind": "goat", "eps": Fraction(4, 255), "steps": 2, "share": 1.0}
        seen.append(true(embed, pixels, labels, **options))
        assert all(parameter.grad is None for parameter in model.parameters())
        return seen[-1]

    monkeypatch.setattr(identities, "adversarial_batch", spy)
    before = batch[0].clone()
    loss, right = objective(model, *batch)
    loss.backward()
    assert torch.equal(batch[0], before)
    change = (seen[0] - before).abs().flatten(1).amax(1)
    assert (change > 1 / 255).all()
    assert change.max() <= 4 / 255 + 1e-6
    teacher = identities.Objective(objective.loss, None)
    expected, count = teacher(plain, seen[0], *batch[1:])
    expected.backward()
    assert torch.equal(loss, expected)
    assert torch.equal(right, count)
    assert same(state(model), state(plain))
    for (name, one), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        assert one.grad is None or torch.equal(one.grad, other.grad), name
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert {int(norm.num_batches_tracked) for norm in norms if norm is not frozen} == {1}
    assert int(frozen.num_batches_tracked) == 0
    assert [name for name, module in model.named_modules() if not module.training] == ["model.backbone.bn1"]
    # and it is stronger than the images as they were
    with torch.no_grad(), evaluating(model):
        features = Descriptor(model)(seen[0]), Descriptor(model)(before)
    assert (features[0] - features[1]).norm(dim=1).min() > 0.01


def test_the_objective_is_the_weighted_sum_of_the_recipes_losses(task, batch):
    recipe = recipe_of("train.losses={cross_entropy: {smoothing: 0.1, weight: 2}, triplet: {margin: 0.3, weight: 0.5}}")
    model = make_model(recipe, task, 0).train()
    loss, right = task.training_task(recipe, model, 0).objective(copy.deepcopy(model), *batch)
    with torch.no_grad():
        (logits,), features = model(batch[0])
    labels = batch[1]
    rows = []
    for row in range(8):
        distance = (features - features[row]).norm(dim=1)
        mine = labels == labels[row]
        rows.append((distance[mine].max() - distance[~mine].min() + 0.3).clamp_min(0))
    smoothed = 0.9 * -logits.log_softmax(1)[range(8), labels] - 0.1 * logits.log_softmax(1).mean(1)
    assert loss.item() == pytest.approx(float(2 * smoothed.mean() + 0.5 * torch.stack(rows).mean()), rel=1e-4)
    assert int(right) == int((logits.argmax(1) == labels).sum())


@pytest.mark.parametrize(
    ("options", "classifiers", "length"),
    [
        ("{name: resnet8, head: pcb, parts: 4, last_stride: 1}", 4, 4 * 64),
        ("{name: resnet8, head: classblock, bottleneck: 24}", 1, 24),
        ("{name: resnet8, head: bnneck, pool: gem}", 1, 64),
        ("{name: resnet8, head: linear, pool: gem}", 1, 64),
    ],
)
def test_every_head_learns_from_both_kinds_of_loss(task, batch, tmp_path, options, classifiers, length):
    changes = (f"model={options}", "train.losses={cross_entropy: {}, triplet: {}}")
    outputs = make_model(recipe_of(*changes), task, 0).train()(batch[0])
    assert isinstance(outputs, Outputs)
    assert len(outputs.logits) == classifiers
    assert all(one.shape == (8, task.splits.num_ids) for one in outputs.logits)
    assert outputs.features.shape == (8, length)
    change = moved(task, tmp_path, *changes)
    for name, parameter in make_model(recipe_of(*changes), task, 0).named_parameters():
        if "bias" not in name:  # one in front of a batch norm has no gradient
            assert (change[name].abs().max() > 0) == parameter.requires_grad, name
