"""What every regulariser of the family must do; a member joins these tests by being registered, as the dummy does."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from dummy_member import MEMBER as DUMMY
from scipy import stats
from torch import nn

from featmask.errors import FeatmaskError
from featmask.family import FAMILY, build_layer, dropped_by, dropped_fraction, member, probability_of
from featmask.family.space import dimension
from featmask.insert import attach
from featmask.recipe import ChosenMethod, Schedule
from featmask.study.fields import parse_recipe
from featmask.training.schedules import steering

NAMES = [*FAMILY, "dummy"]
LAYERS = [name for name in NAMES if name != "none"]
#: Seeds are fixed; the bounds are those of a false alarm in 10,000 seeds.
Z = stats.norm.isf(0.5e-4)
SHAPE = (6, 12, 16)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(FAMILY, "dummy", DUMMY)


@pytest.fixture(params=LAYERS)
def layer(request) -> nn.Module:
    """A member's layer, in training mode, that drops something of nearly every batch."""
    found = build_layer(request.param)
    setattr(found, probability_of(request.param), 0.5)
    return found.train()


def maps(dtype: torch.dtype = torch.float32, samples: int = 8) -> torch.Tensor:
    return torch.rand(samples, *SHAPE, dtype=torch.float64).add(0.5).to(dtype)


def seeded(layer: nn.Module, x: torch.Tensor, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return layer(x)


def acting(layer: nn.Module, x: torch.Tensor) -> tuple[int, int]:
    """Two seeds with which a layer changes its input; a coin per batch leaves it alone with every other one."""
    first, second, *_ = (seed for seed in range(40) if not torch.equal(seeded(layer, x, seed), x))
    return first, second


# --- the layer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_eval_mode_is_the_identity_and_training_is_random(layer, dtype, memory):
    x = maps(dtype).contiguous(memory_format=memory)
    before = x.clone()
    seeds = acting(layer, x)
    first, again, other = (seeded(layer, x, seed) for seed in (seeds[0], *seeds))
    assert torch.equal(x, before), "the input stays as it was"
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first.shape, first.dtype) == (x.shape, dtype)
    assert first.isfinite().all()
    state = torch.get_rng_state()
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(torch.get_rng_state(), state), "eval mode draws nothing"


def test_empty_batches_pass(layer):
    assert layer(torch.ones(0, *SHAPE)).shape == (0, *SHAPE)


def test_copies_and_pickles_do_the_same(layer):
    x = maps()
    seed, _ = acting(layer, x)
    expected = seeded(layer, x, seed)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.training
        assert torch.equal(seeded(twin, x, seed), expected)
        assert torch.equal(twin.eval()(x), x)
    assert not layer.state_dict(), "a model's checkpoint does not change with its regulariser"


@pytest.mark.usefixtures("fresh_compiler")
def test_compiled(layer):
    compiled, x = torch.compile(layer, backend="aot_eager"), maps()
    seed, _ = acting(compiled, x)
    assert seeded(compiled, x, seed).isfinite().all()
    layer.eval()
    assert torch.equal(compiled(x), x)


def test_no_gradient_passes_where_something_is_dropped(layer):
    """Dropped is what does not change when the input is doubled, which moves no mask."""
    x = maps()
    seed, _ = acting(layer, x)
    y, doubled = seeded(layer, x, seed), seeded(layer, 2 * x, seed)
    dropped = y == doubled
    assert dropped.any()
    assert not dropped.all()
    leaf = x.clone().requires_grad_()
    seeded(layer, leaf * 1.0, seed).sum().backward()
    assert leaf.grad.isfinite().all()
    assert torch.equal(leaf.grad == 0, dropped)
    torch.manual_seed(seed)
    assert torch.equal(dropped_by(layer, x), dropped)


# --- what it drops ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [None, 0.6])
@pytest.mark.parametrize("name", NAMES)
def test_it_drops_the_share_that_it_declares(name, p):
    if p is not None and member(name).probability is None:
        return
    options = {} if p is None else {"p": p}
    built = build_layer(name, **options)
    shares = [dropped_fraction(built, SHAPE, samples=1, batch_size=1, seed=seed) for seed in range(250)]
    if member(name).share is None:
        assert 0 < np.mean(shares) < 1
        return
    expected = member(name).share(member(name).defaults | options, SHAPE)
    # a closed form that is a sum over a grid is exact to a thousandth of itself
    assert abs(np.mean(shares) - expected) <= Z * np.std(shares, ddof=1) / np.sqrt(len(shares)) + 1e-3 * expected


@pytest.mark.parametrize("name", [name for name in LAYERS if name == "dummy" or FAMILY[name].probability])
def test_a_schedule_sets_its_probability(name):
    """At each position a layer drops what a layer that was built with that p drops."""
    full = 0.4
    layers = [build_layer(name, p=full), build_layer(name, p=full)]

    def steered(**schedule):
        return steering(ChosenMethod(layer=name, at="stem", options={}, schedule=Schedule(**schedule)), layers)

    steer = steered(kind="ramp", epochs=4, start=0.5)
    for epoch, p in ((0.0, 0.2), (3.0, 0.35), (1.0, 0.25), (7.0, full)):  # no order: a position is all that counts
        steer(epoch)
        expected = dropped_fraction(build_layer(name, p=p), (3, 8, 8), samples=32, batch_size=1)
        assert expected > 0
        for built in layers:
            assert getattr(built, probability_of(name)) == pytest.approx(p)
            assert dropped_fraction(built, (3, 8, 8), samples=32, batch_size=1) == pytest.approx(expected, abs=1e-9)
    steered(kind="cosine", epochs=4)(0.0)
    x = maps()
    assert torch.equal(layers[0].train()(x), x), "p = 0 leaves all"


def test_measuring_leaves_random_numbers_and_flags_alone(layer):
    for training in (True, False):
        layer.train(training)
        state = torch.get_rng_state()
        first = dropped_fraction(layer, SHAPE, samples=32)
        assert first > 0
        assert torch.equal(torch.get_rng_state(), state)
        assert layer.training is training
        with torch.no_grad():
            assert dropped_fraction(layer, SHAPE, samples=32) == first, "repeats, and measures without grad mode"
    assert dropped_fraction(layer, SHAPE, samples=32, seed=1) != first


# --- what it can be given ---------------------------------------------------------------------------------------------


def refused(option) -> list[object]:
    """Values that an option must refuse, whatever it is."""
    wrong: list[object] = [object(), "nonsense", float("nan"), [1, 2, 3], {}]
    for number in (option.low - 1, option.high + 1, *([option.low] if option.above else [])):
        wrong.append([number, number] if option.pair else number)
    wrong += [[0.5, 0.25], [0.5], 0.5, ["a", "b"]] if option.pair else [[0.5, 0.5]]
    wrong += [] if option.null else [None]
    wrong += [] if True in option.words else [True]
    wrong += [2.5] if option.kind is int else []
    return wrong


@pytest.mark.parametrize("name", NAMES)
def test_options_out_of_range_are_refused_by_name(name):
    for key, option in member(name).options.items():
        build_layer(name, **{key: option.default})
        for value in refused(option):
            with pytest.raises(FeatmaskError) as caught:
                build_layer(name, **{key: value})
            assert f"method {name!r}: {key}: expected {option}; got {value!r}" in str(caught.value)
    with pytest.raises(FeatmaskError, match="wobble: no such option") as caught:
        build_layer(name, wobble=1)
    assert all(f"{key} ({option})" in str(caught.value) for key, option in member(name).options.items())


@pytest.mark.parametrize("name", NAMES)
def test_it_takes_what_its_space_suggests(name):
    one, defaults = member(name), member(name).defaults
    for key, entry in one.space.items():
        found = dimension(key, entry)
        for value in found.ends():
            build_layer(name, **{key: value})
        assert found.position(defaults[key]) is not None, f"{key}: the default is outside"


@pytest.mark.parametrize("name", NAMES)
def test_it_tells_what_it_is(name):
    one = member(name)
    title, gap, *text = one.card.strip().splitlines()
    assert title
    assert not gap
    assert 3 <= len(text) <= 6
    assert one.source
    assert one.place in ("none", "feature", "input", "batch", "branch")


# --- where it goes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_it_goes_into_a_model(name):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    x, layer = torch.rand(8, 3, 16, 16), build_layer(name)
    setattr(layer, probability_of(name), 0.5)
    keys, plain = list(model.state_dict()), model.eval()(x)
    attach(model, layer, at="input" if member(name).place == "input" else "stem")
    assert list(model.state_dict()) == keys
    assert torch.equal(model.eval()(x), plain)
    outputs = [seeded(model.train(), x, seed) for seed in range(20)]
    assert any(not torch.equal(outputs[0], other) for other in outputs[1:])


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_names_it(name):
    def read(**method):
        raw = {"name": "tiny", "data": {"name": "digits"}, "model": {"name": "resnet8"}}
        return parse_recipe({**raw, "methods": {"none": {}, "mine": {"layer": name, **method}}}, "a test")

    one = member(name)
    plain = {key: value for key, value in one.defaults.items() if isinstance(value, (int, float, str, bool))}
    assert read(options=plain, space=dict(one.space)).method("mine").layer == name
    for key, option in one.options.items():
        with pytest.raises(FeatmaskError, match=rf"methods\.mine\.options\.{key}: expected .*; got 'nonsense'"):
            read(options={key: "nonsense"})
        with pytest.raises(FeatmaskError, match=rf"methods\.mine\.space\.{key}: expected"):
            read(space={key: {"choices": [option.default, "nonsense"]}})
    with pytest.raises(FeatmaskError, match=r"methods\.mine\.space\.wobble: no such option"):
        read(space={"wobble": [0.1, 0.2]})
