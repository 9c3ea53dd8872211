"""Every member by name, and the share that it really drops against closed forms or the peer's own figures."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import nn

from featmask.errors import FeatmaskError
from featmask.family import FAMILY, RandomErasing, build_layer, dropped_fraction, member
from featmask.layers import LocalFeatureMasking, PublishedFeatureMasking
from oracles import naive

Z = stats.norm.isf(0.5e-4)  # seeds are fixed; the bounds are those of a false alarm in 10,000 seeds


# --- by name ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILY)
def test_every_member_builds_and_runs(name):
    layer = build_layer(name)
    if name == "none":
        assert layer is None
        assert FAMILY[name].place == "none"
        return
    assert FAMILY[name].place in ("feature", "input")
    x = torch.randn(8, 3, 16, 16)
    before = x.clone()
    assert layer.train()(x).shape == x.shape
    assert torch.equal(x, before)
    assert torch.equal(layer.eval()(x), x)


def test_members_take_options():
    assert build_layer("dropout", p=0.4).p == 0.4
    assert build_layer("lfm", p=0.4, fill="zero", per="batch").options.fill == "zero"
    assert build_layer("lfm", area=[0.1, 0.2]).options.area == (0.1, 0.2), "lists come from YAML"
    assert build_layer("lfm_published", first=8).options.first == 8
    assert build_layer("dropblock", block_size=3).block_size == 3
    assert isinstance(build_layer("lfm"), LocalFeatureMasking)
    assert isinstance(build_layer("lfm_published"), PublishedFeatureMasking)
    assert build_layer("lfm_strongest", fill="mean").options.place == "strongest"
    assert build_layer("lfm").options.place == "random"


def test_an_unknown_name_lists_the_names():
    for call in (member, build_layer):
        with pytest.raises(FeatmaskError) as caught:
            call("lfn")
        assert "'lfn'" in str(caught.value)
        assert all(name in str(caught.value) for name in FAMILY)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("none", {"p": 0.1}),
        ("dropout", {"p": 2.0}),
        ("dropout", {"q": 0.1}),
        ("dropout2d", {"p": -0.1}),
        ("dropblock", {"p": 2.0}),
        ("dropblock", {"block": 7}),
        ("cutout", {"p": 1.5}),
        ("cutout", {"scale": (0.1, 0.2)}),
        ("random_erasing", {"p": 1.5}),
        ("random_erasing", {"area": 0.2}),
        ("lfm", {"p": 1.5}),
        ("lfm", {"first": 8}),
        ("lfm", {"place": "weakest"}),
        ("lfm_published", {"place": "strongest"}),
        ("lfm_published", {"fill": "zero"}),
        ("lfm_published", {"first": -1}),
    ],
)
def test_a_bad_option_names_the_method_and_the_option(name, options):
    with pytest.raises(FeatmaskError) as caught:
        build_layer(name, **options)
    message = str(caught.value)
    assert repr(name) in message
    (option,) = options
    assert option in message


# --- what they really drop --------------------------------------------------------------------------------------------


def test_none_drops_nothing():
    assert dropped_fraction(None, (4, 8, 8)) == 0.0
    assert dropped_fraction(nn.Identity(), (4, 8, 8)) == 0.0


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_p(p):
    values = 128 * 8 * 16 * 16
    measured = dropped_fraction(build_layer("dropout", p=p), (8, 16, 16), samples=128)
    assert abs(measured - p) < Z * math.sqrt(p * (1 - p) / values)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout2d_drops_p_of_the_planes(p):
    planes = 512 * 16
    measured = dropped_fraction(build_layer("dropout2d", p=p), (16, 4, 4))
    assert abs(measured - p) < Z * math.sqrt(p * (1 - p) / planes)
    assert measured * planes == pytest.approx(round(measured * planes)), "whole planes"


@pytest.mark.parametrize(("p", "figure"), [(0.1, 0.09), (0.3, 0.24), (0.5, 0.36)])
def test_dropblock_drops_less_than_p_as_measured_on_the_peer(p, figure):
    # the figures are rounded to a percent; a plane's share has a standard deviation below 0.2
    measured = dropped_fraction(build_layer("dropblock", p=p, block_size=7), (16, 16, 16), samples=256)
    assert abs(measured - figure) < 0.005 + Z * 0.2 / math.sqrt(256 * 16)


@pytest.mark.parametrize("name", ["lfm", "lfm_strongest"])
def test_lfm_drops_the_closed_figure_wherever_it_masks(name):
    # 10.15 % of a chosen sample's values; the coin of p = 0.15 decides for each of 256 samples
    figure, samples = 0.1015, 256
    measured = dropped_fraction(build_layer(name), (64, 128, 64), samples=samples, batch_size=8)
    assert abs(measured - 0.15 * figure) < figure * Z * math.sqrt(0.15 * 0.85 / samples) * 1.05
    certain = dropped_fraction(build_layer(name, p=1.0), (64, 128, 64), samples=32, batch_size=8)
    # 32 rectangles a sample, each of a share with standard deviation 0.109, in half of the channels
    assert abs(certain - figure) < 0.00005 + 0.5 * Z * 0.109 / math.sqrt(32 * 32)


def test_lfm_published_drops_the_authors_share():
    # the figure's own spread over batches of 8 is 0.33 %
    measured = dropped_fraction(PublishedFeatureMasking(1.0), (64, 128, 64), samples=80, batch_size=8)
    assert abs(measured - 0.0593) < 0.00005 + Z * 0.0033 / math.sqrt(10)


def test_lfm_counts_one_coin_a_batch():
    layer = build_layer("lfm", p=0.5, per="batch", channels=1.0)
    measured = [dropped_fraction(layer, (1, 16, 16), samples=16, batch_size=16, seed=seed) for seed in range(40)]
    assert stats.binomtest(sum(share == 0 for share in measured), 40, 0.5).pvalue > 1e-4


@pytest.mark.parametrize(("shape", "side"), [((3, 32, 32), 16), ((3, 32, 24), 14)])
def test_cutout_removes_a_square_of_a_quarter_of_the_area(shape, side):
    measured = dropped_fraction(build_layer("cutout"), shape, samples=64)
    assert measured == pytest.approx(side * side / (shape[1] * shape[2]))
    half = dropped_fraction(build_layer("cutout", p=0.5), shape, samples=400)
    assert abs(half / measured - 0.5) < Z * math.sqrt(0.25 / 400)


def test_random_erasing_removes_its_expectation():
    # scale is uniform in (0.02, 0.33); tall and wide rectangles that do not fit are redrawn, which shifts the mean a
    # little: the expectation comes from a plain loop with log-uniform ratios, as torchvision draws them
    import random

    rng = random.Random(0)
    shares = []
    while len(shares) < 20_000:
        area, ratio = rng.uniform(0.02, 0.33) * 32 * 32, math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
        h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if h < 32 and w < 32:
            shares.append(h * w / (32 * 32))
    expected = 0.5 * sum(shares) / len(shares)
    measured = dropped_fraction(build_layer("random_erasing"), (3, 32, 32), samples=1024)
    assert abs(measured - expected) < Z * 0.11 * (1 / math.sqrt(1024) + 0.5 / math.sqrt(20_000))


def test_random_erasing_decides_for_each_sample():
    torch.manual_seed(0)
    y = RandomErasing(0.5)(torch.ones(400, 3, 16, 16))
    erased = (y == 0).flatten(1).any(1).sum().item()
    assert stats.binomtest(erased, 400, 0.5).pvalue > 1e-4
    assert all(naive.rectangle_of(sample[0] == 0) for sample in y[:50] if (sample == 0).any())
    assert RandomErasing(1.0)(torch.ones(0, 3, 16, 16)).shape == (0, 3, 16, 16)


# --- measuring leaves everything as it was ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in FAMILY if name != "none"])
def test_measuring_leaves_random_numbers_and_flags_alone(name):
    layer = build_layer(name)
    for training in (True, False):
        layer.train(training)
        state = torch.get_rng_state()
        first = dropped_fraction(layer, (3, 16, 16), samples=32)
        assert torch.equal(torch.get_rng_state(), state)
        assert layer.training is training
        with torch.no_grad():
            assert dropped_fraction(layer, (3, 16, 16), samples=32) == first, "repeats, and measures without grad mode"
    assert dropped_fraction(layer, (3, 16, 16), samples=32, seed=1) != first or name == "cutout"


def test_measuring_leaves_nested_flags_and_generators_alone():
    layer = nn.Sequential(nn.Dropout(0.0).eval(), LocalFeatureMasking(1.0, generator=torch.Generator()))
    state = layer[1].generator.get_state()
    assert dropped_fraction(layer, (3, 16, 16), samples=32) > 0
    assert torch.equal(layer[1].generator.get_state(), state)
    assert not layer[0].training
    assert layer[1].last_mask is None


def test_measuring_layers_that_write_in_place():
    for layer in (nn.Dropout(0.5, inplace=True), LocalFeatureMasking(1.0, inplace=True)):
        assert dropped_fraction(layer, (3, 16, 16), samples=32) > 0.05
