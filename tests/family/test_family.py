"""Members by name, and the declared shares against figures and loops that are not ours."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from featmask.errors import FeatmaskError
from featmask.family import FAMILY, RandomErasing, build_layer, dropped_fraction, member, probability_of
from featmask.layers import LocalFeatureMasking, PublishedFeatureMasking
from featmask.masking.options import Options
from oracles import naive

Z = stats.norm.isf(0.5e-4)  # seeds are fixed; the bounds are those of a false alarm in 10,000 seeds


def expected(name: str, shape: tuple[int, int, int], **options: object) -> float:
    return member(name).share(member(name).defaults | options, shape)


# --- by name ----------------------------------------------------------------------------------------------------------


def test_the_order_of_messages_and_pages():
    assert list(FAMILY) == [
        "none",
        "dropout",
        "dropout2d",
        "dropblock",
        "cutout",
        "random_erasing",
        "lfm",
        "lfm_strongest",
        "lfm_published",
    ]


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


def test_defaults_are_those_of_the_layer():
    """LFM's numbers stand once, in its own options; every other layer is told its."""
    for name in ("lfm", "lfm_published"):
        plain = LocalFeatureMasking() if name == "lfm" else PublishedFeatureMasking()
        assert build_layer(name).options == plain.options
    assert member("lfm").defaults["area"] == Options().area == (0.02, 0.4)


def test_none_has_no_layer_no_options_and_no_probability():
    assert build_layer("none") is None
    with pytest.raises(FeatmaskError, match="p: no such option; none takes no options"):
        build_layer("none", p=0.1)
    with pytest.raises(FeatmaskError, match=r"'none' has no probability.*dropout, dropout2d"):
        probability_of("none")


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("dropblock", "block_size", 4),  # torchvision would notice in the first training step
        ("dropblock", "block_size", 3.0),
        ("lfm", "area", [0.0, 0.2]),
        ("lfm", "place", "weakest"),
        ("lfm_published", "place", "strongest"),
        ("lfm_published", "fill", "zero"),
        ("lfm_published", "first", 0),
        ("random_erasing", "value", "noise"),
    ],
)
def test_options_that_a_layer_cannot_take(name, option, value):
    with pytest.raises(FeatmaskError, match=f"'{name}': {option}: "):
        build_layer(name, **{option: value})


# --- what they really drop: the declared shares, which test_every_member.py holds the layers to ----------------------


def test_none_drops_nothing():
    assert dropped_fraction(None, (4, 8, 8)) == 0.0
    assert dropped_fraction(nn.Identity(), (4, 8, 8)) == 0.0


def test_dropout2d_drops_whole_planes():
    planes = 512 * 16
    measured = dropped_fraction(build_layer("dropout2d", p=0.5), (16, 4, 4))
    assert measured * planes == pytest.approx(round(measured * planes))


@pytest.mark.parametrize(("p", "figure"), [(0.1, 0.09), (0.3, 0.24), (0.5, 0.36)])
def test_dropblock_drops_less_than_p_as_measured_on_the_peer(p, figure):
    assert expected("dropblock", (1, 16, 16), p=p) == pytest.approx(figure, abs=0.005)


@pytest.mark.parametrize(("height", "width", "block"), [(16, 16, 7), (9, 14, 3), (5, 20, 7)])
def test_dropblock_by_counting_the_blocks_over_each_value(height, width, block):
    side = min(block, height, width)
    drawn = 0.3 * height * width / (side**2 * (height - side + 1) * (width - side + 1))
    kept = np.ones((height, width))
    for top in range(height - side + 1):
        for left in range(width - side + 1):
            kept[top : top + side, left : left + side] *= 1 - drawn
    assert expected("dropblock", (4, height, width), p=0.3, block_size=block) == pytest.approx(1 - kept.mean())


@pytest.mark.parametrize("name", ["lfm", "lfm_strongest"])
def test_lfm_drops_the_closed_figure_wherever_it_masks(name):
    # 10.15 % of a chosen sample's values, whichever they are
    assert expected(name, (64, 128, 64), p=1.0) == pytest.approx(0.1015, abs=0.0005)
    assert expected(name, (64, 128, 64)) == pytest.approx(0.15 * 0.1015, rel=0.005)


@pytest.mark.parametrize(("height", "width"), [(16, 12), (3, 32), (1, 9)])
def test_lfm_by_drawing_rectangles_naively(height, width):
    rng, draws = random.Random(0), 20_000
    sizes = [naive.size(rng, height, width, tries=10) or (0, 0) for _ in range(draws)]
    shares = np.array([h * w / (height * width) for h, w in sizes])
    found = expected("lfm", (4, height, width), p=1.0) / 0.5
    assert abs(found - shares.mean()) <= Z * shares.std() / math.sqrt(draws) + 1e-3 * found


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
    assert expected("cutout", shape) == pytest.approx(side * side / (shape[1] * shape[2]))
    assert expected("cutout", shape, p=0.5) == pytest.approx(expected("cutout", shape) / 2)
    assert expected("cutout", shape, area=1.0) == 0, "torchvision erases nothing where the square does not fit"


def test_random_erasing_removes_its_expectation():
    # scale is uniform in (0.02, 0.33); tall and wide rectangles that do not fit are redrawn, which shifts the mean a
    # little: the expectation comes from a plain loop with log-uniform ratios, as torchvision draws them
    rng = random.Random(0)
    shares = []
    while len(shares) < 20_000:
        area, ratio = rng.uniform(0.02, 0.33) * 32 * 32, math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
        h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if h < 32 and w < 32:
            shares.append(h * w / (32 * 32))
    found = expected("random_erasing", (3, 32, 32)) / 0.5
    assert abs(found - np.mean(shares)) <= Z * np.std(shares) / math.sqrt(len(shares)) + 1e-3 * found


def test_random_erasing_decides_for_each_sample():
    torch.manual_seed(0)
    y = RandomErasing(0.5)(torch.ones(400, 3, 16, 16))
    erased = (y == 0).flatten(1).any(1).sum().item()
    assert stats.binomtest(erased, 400, 0.5).pvalue > 1e-4
    assert all(naive.rectangle_of(sample[0] == 0) for sample in y[:50] if (sample == 0).any())
    assert RandomErasing(1.0)(torch.ones(0, 3, 16, 16)).shape == (0, 3, 16, 16)


# --- measuring leaves everything as it was ----------------------------------------------------------------------------


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
