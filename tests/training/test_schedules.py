"""p over training and methods at several places, against closed forms, from the recipe to the record."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from featmask.classification.task import Classification
from featmask.errors import FeatmaskError
from featmask.family import RandomErasing
from featmask.insert import attached
from featmask.models import read_checkpoint
from featmask.recipe import ChosenMethod, Method, Schedule
from featmask.records.run import read_epochs
from featmask.study import run as experiment
from featmask.study.fields import parse_recipe, read_recipe
from featmask.study.run import make_model, put_method, train_run
from featmask.training.schedules import share_at, steering


@pytest.fixture(scope="module")
def digits():
    raw = {"name": "digits", "data": {"name": "digits"}, "model": {"name": "resnet8"}}
    return Classification(parse_recipe({**raw, "methods": {"none": None}}, "here"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(experiment, "MEASURED", 128)


def chosen(layer: str, **schedule: object) -> ChosenMethod:
    return ChosenMethod(layer=layer, at="stem", options={}, schedule=Schedule(**schedule))


# --- closed forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("epochs", [0.5, 5])
def test_a_ramp_is_a_straight_line_and_then_flat(epochs, start):
    ramp = Schedule(kind="ramp", epochs=epochs, start=start)
    for epoch in np.linspace(0, 2 * epochs, 41):
        assert share_at(ramp, epoch) == pytest.approx(np.interp(epoch, [0, epochs], [start, 1]), abs=1e-12)


@pytest.mark.parametrize(("epoch", "risen"), [(0, 0), (1, (2 - math.sqrt(2)) / 4), (2, 0.5), (4, 1), (9, 1)])
def test_a_cosine_begins_and_ends_flat(epoch, risen):
    for start in (0.0, 0.3):
        share = share_at(Schedule(kind="cosine", epochs=4, start=start), epoch)
        assert share == pytest.approx(start + (1 - start) * risen, abs=1e-12)


def test_p_never_exceeds_the_full_one():
    rng = np.random.default_rng(0)
    for kind in ("ramp", "cosine"):
        for start, epochs in rng.random((500, 2)):
            schedule = Schedule(kind=kind, epochs=epochs, start=start)
            assert share_at(schedule, epochs) == share_at(schedule, 2 * epochs) == 1.0
            assert 0.0 <= share_at(schedule, epochs * rng.random()) <= 1.0


def test_erasing_tells_its_p():
    layer = RandomErasing(0.3)
    layer.p = 0.7
    assert layer.p == layer.erase.p == 0.7


def test_a_constant_p_needs_no_steering():
    assert steering(ChosenMethod(layer="none", at="stem", options={}), []) is None


# --- the recipe -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("methods.none.schedule={kind: ramp}", r"methods\.none\.schedule: method 'none' has no probability"),
        ("methods.lfn={schedule: {kind: ramp}}", r"methods\.lfn: unknown method 'lfn'"),
        ("methods.lfm.schedule={kind: linear}", r"methods\.lfm\.schedule\.kind: expected 'constant', 'ramp'"),
        ("methods.lfm.schedule={kind: ramp, epochs: 0}", r"methods\.lfm\.schedule\.epochs: .*greater than 0"),
        ("methods.lfm.schedule={kind: ramp, epochs: .inf}", r"methods\.lfm\.schedule\.epochs"),
        ("methods.lfm.schedule={kind: ramp, start: 1.5}", r"methods\.lfm\.schedule\.start: .*got 1\.5"),
        ("methods.lfm.schedule={start: 0.5}", r"methods\.lfm\.schedule: .*which constant does not have"),
        ("methods.lfm.schedule={kind: ramp, steps: 9}", r"known here: kind, epochs, start"),
    ],
)
def test_mistakes_are_found_when_the_recipe_is_read(recipe_file, change, message):
    with pytest.raises(FeatmaskError, match=message):
        read_recipe(recipe_file, [change])


def test_schedules_stand_in_the_recipe_and_change_its_key(recipe_file):
    plain = read_recipe(recipe_file)
    ramp = read_recipe(recipe_file, ["methods.lfm.schedule={kind: ramp, epochs: 2}"])
    assert ramp.key() != plain.key()
    assert parse_recipe(ramp.plain(), "again") == ramp
    assert ramp.method("lfm").schedule == Schedule(kind="ramp", epochs=2)
    assert plain.method("lfm").schedule is None
    constant = read_recipe(recipe_file, ["methods.none.schedule={kind: constant}"])
    assert constant.method("none").schedule is None
    assert Method().schedule is None


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(monkeypatch):
    """Train; give the p of every masked forward by place, the attached layers, and the model's header."""

    def watched(recipe, method, folder, task) -> SimpleNamespace:
        seen: dict[str, list[float]] = {}
        layers = {}
        fit = experiment.fit

        def watching(model, *arguments, **options):
            for place, layer in attached(model.model):
                name = place or "input"
                layers[name] = layer
                layer.register_forward_hook(
                    lambda layer, *_, name=name: seen.setdefault(name, []).append(layer.p) if layer.training else None
                )
            return fit(model, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(experiment, "fit", watching)
            train_run(recipe, method, 0, folder, task, "cpu")
        tensors, header = read_checkpoint(folder / "model.safetensors")
        return SimpleNamespace(seen=seen, layers=layers, tensors=tensors, run=header.run)

    return watched


def line(epochs: int, steps: int, end: float, start: float) -> np.ndarray:
    """p of each step: a straight line from start to the full p at ``end`` epochs, as shares of it."""
    return np.interp(np.arange(epochs * steps) / steps, [0, end], [start, 1])


@pytest.mark.parametrize(
    ("method", "options", "p"), [("dropout2d", "{p: 0.3}", 0.3), ("lfm_strongest", "{}", 0.15), ("cutout", "{}", 1.0)]
)
def test_every_step_of_every_place_has_its_p(recipe_file, digits, tmp_path, watched, method, options, p):
    recipe = read_recipe(
        recipe_file,
        [
            f"methods.m={{layer: {method}, options: {options}, schedule: {{kind: ramp, epochs: 1.5, start: 0.2}}}}",
            "methods.m.at=[stem, layer1]",
            "train.epochs=2",
            "train.batch_size=128",
        ],
    )
    run = watched(recipe, "m", tmp_path / "a", digits)
    (steps,) = {len(values) // 2 for values in run.seen.values()}
    assert steps > 5
    assert len(run.seen) == (1 if method == "cutout" else 2)
    for values in run.seen.values():
        assert values == pytest.approx(p * line(2, steps, 1.5, 0.2))
    assert run.run.schedule == {"kind": "ramp", "epochs": 1.5, "start": 0.2}
    plain = put_method(
        read_recipe(recipe_file, [f"methods.m={{layer: {method}, options: {options}, at: [stem, layer1]}}"]),
        "m",
        make_model(recipe, digits, 0),
        digits,
    )
    assert run.run.dropped_fraction == plain["dropped_fraction"] > 0, "measured at the full p"
    assert "schedule" not in plain


def test_a_killed_run_with_a_schedule_ends_like_an_uninterrupted_one(
    recipe_file, digits, tmp_path, killed_after_two_epochs, watched
):
    changes = ["methods.lfm={at: [stem, layer1], options: {p: 0.6}, schedule: {kind: cosine, epochs: 3}}"]
    changes.append("train.batch_size=256")
    recipe = read_recipe(recipe_file, [*changes, "train.ema=0.9"])
    whole = watched(recipe, "lfm", tmp_path / "whole", digits)
    with killed_after_two_epochs():
        train_run(recipe, "lfm", 0, tmp_path / "killed", digits, "cpu")
    resumed = watched(recipe, "lfm", tmp_path / "killed", digits)
    steps = len(whole.seen["layer1"]) // 3
    rising = [0.3 * (1 - math.cos(math.pi * step / (3 * steps))) for step in range(3 * steps)]
    assert whole.seen["layer1"] == pytest.approx(rising)
    assert resumed.seen["layer1"] == whole.seen["layer1"][2 * steps :]
    assert whole.tensors.keys() == resumed.tensors.keys()
    assert all(torch.equal(resumed.tensors[name], value) for name, value in whole.tensors.items())
    losses = [[one["train_loss"] for one in read_epochs(tmp_path / n)] for n in ("whole", "killed")]
    assert losses[0] == losses[1]
    plain = read_recipe(
        recipe_file, ["methods.lfm={at: [stem, layer1], options: {p: 0.6}}", "train.epochs=1", "train.batch_size=256"]
    )
    train_run(plain, "lfm", 0, tmp_path / "plain", digits, "cpu")
    assert read_epochs(tmp_path / "plain")[0]["train_loss"] != losses[0][0]


# --- several places ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lfm", "dropout2d"])
def test_every_place_has_a_layer_and_masks_of_its_own(recipe_file, digits, method):
    recipe = read_recipe(recipe_file, [f"methods.{method}={{at: [stem, layer1, layer2], options: {{p: 0.5}}}}"])
    model = make_model(recipe, digits, 0)
    names = list(model.state_dict())
    x = torch.rand(8, *digits.splits.test[0].image.shape)
    plain = model.eval()(x)
    info = put_method(recipe, method, model, digits)
    assert info["point"] == "stem, layer1, layer2"
    assert list(model.state_dict()) == names
    assert torch.equal(model.eval()(x), plain)
    places = dict(attached(model.model))
    assert len(places) == len({id(layer) for layer in places.values()}) == 3
    if method == "dropout2d":
        bound = 4 * 0.5 / math.sqrt(128 * 16)  # of the smallest place; seeds are fixed, a false alarm in 10,000 of them
        assert abs(info["dropped_fraction"] - 0.5) < bound
    twin = copy.deepcopy(model)
    for one in (model, twin):
        changed = {}
        for name, layer in attached(one.model):
            layer.register_forward_hook(lambda layer, given, out, n=name, c=changed: c.update({n: (given[0], out)}))
        torch.manual_seed(0)
        one.train()(x)
        assert changed.keys() == places.keys()
        for name, layer in attached(one.model):
            before, after = changed[name]
            if method == "lfm":
                assert 0 < layer.dropped_fraction < 1
                assert layer.last_mask.shape == after.shape
                assert (after[layer.last_mask] < 1).all(), "uniform in [0, 1)"
            else:
                assert 0 < (after.flatten(2) == 0).all(2).float().mean() < 1
                assert before.shape == after.shape
    if method == "lfm":
        masks = [layer.last_mask for _, layer in attached(model.model)]
        assert all(torch.equal(a, b.last_mask) for a, (_, b) in zip(masks, attached(twin.model), strict=True))
        samples = [mask.flatten(1).any(1) for mask in masks]
        assert not all(torch.equal(samples[0], other) for other in samples[1:]), "each place flips its own coins"


def test_the_share_is_the_mean_over_places(recipe_file, digits):
    def share(at: str) -> float:
        recipe = read_recipe(recipe_file, [f"methods.lfm={{at: {at}, options: {{p: 1.0}}}}"])
        return put_method(recipe, "lfm", make_model(recipe, digits, 0), digits)["dropped_fraction"]

    assert share("[stem, layer3]") == pytest.approx((share("stem") + share("layer3")) / 2)


def test_places_that_make_no_sense(recipe_file, digits):
    for at, message in (("[]", "at least one place"), ("[stem, stem]", "given twice"), ("[stem, layer9]", "layer9")):
        recipe = read_recipe(recipe_file, [f"at={at}"])
        with pytest.raises(FeatmaskError, match=message):
            put_method(recipe, "lfm", make_model(recipe, digits, 0), digits)
