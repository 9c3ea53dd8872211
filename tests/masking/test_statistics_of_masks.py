"""The distribution of the masks, against the published figures and against naive.py.

Seeds are fixed, so a run gives the same answer every time. The bounds are those of random seeds: each comparison would
raise a false alarm once in 10,000 seeds (ALPHA, or Z standard errors of a mean), plus the rounding of the cited figure.
"""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from featmask.functional import masked
from featmask.masking.options import Options
from featmask.masking.plan import Plan, draw
from featmask.masking.traced import mask_traced
from oracles import naive

ALPHA = 1e-4
Z = stats.norm.isf(ALPHA / 2)  # 3.9 standard errors
STEM = (8, 64, 128, 64)
PATHS = ["host", "traced", "compiled"]


def mean_agrees(values, figure: float, rounding: float) -> None:
    """The mean of independent values is the cited figure, up to its rounding and Z standard errors."""
    values = np.asarray(values, float)
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert abs(values.mean() - figure) < rounding + Z * error, f"{values.mean():.4f} +- {error:.4f}, expected {figure}"
    assert Z * error < 0.1 * max(figure, 0.05), "too few values to show anything"


def binomial_agrees(hits: int, trials: int, p: float) -> None:
    assert stats.binomtest(int(hits), int(trials), p).pvalue > ALPHA, f"{hits} of {trials}, expected a share of {p}"


def same_distribution(ours, theirs) -> None:
    """Two samples of numbers: Kolmogorov-Smirnov, and chi square on cells that hold at least 20 of both together."""
    assert stats.ks_2samp(ours, theirs).pvalue > ALPHA
    same_counts(Counter(np.asarray(ours).tolist()), Counter(np.asarray(theirs).tolist()))


def same_counts(ours: Counter, theirs: Counter) -> None:
    cells, rest = [], [0, 0]
    for key in sorted(ours.keys() | theirs.keys()):
        rest[0], rest[1] = rest[0] + ours[key], rest[1] + theirs[key]
        if sum(rest) >= 20:
            cells.append(rest)
            rest = [0, 0]
    cells[-1] = [cells[-1][0] + rest[0], cells[-1][1] + rest[1]]
    assert len(cells) > 3
    assert stats.chi2_contingency(np.array(cells).T).pvalue > ALPHA


def masks(path: str, shape: tuple[int, int, int, int], options: Options, seed: int) -> torch.Tensor:
    """The mask of one forward, seen from outside: what changed."""
    torch.manual_seed(seed)
    x = torch.full(shape, -1.0)
    if path == "host":
        y, _ = masked(x, options)
    else:
        y = (COMPILED if path == "compiled" else mask_traced)(x, options)
    return y != x


COMPILED = torch.compile(mask_traced, backend="aot_eager", fullgraph=True)


pytestmark = pytest.mark.usefixtures("fresh_compiler")


def rectangles(mask: torch.Tensor) -> np.ndarray:
    """``top, left, h, w`` of every masked plane; asserts that each is a full rectangle."""
    planes = mask.flatten(0, 1)
    planes = planes[planes.flatten(1).any(1)]
    rows, cols = planes.any(2), planes.any(1)
    assert torch.equal(planes, rows[:, :, None] & cols[:, None, :])
    sides = [rows.int().argmax(1), cols.int().argmax(1), rows.sum(1), cols.sum(1)]
    for axis, start, length in ((rows, sides[0], sides[2]), (cols, sides[1], sides[3])):
        steps = torch.arange(axis.shape[1])
        assert torch.equal(axis, (steps >= start[:, None]) & (steps < (start + length)[:, None]))
    return torch.stack(sides, 1).numpy()


def strips(mask: torch.Tensor) -> Counter:
    """How often each (top, bottom) of the masked rows of a plane comes; (0, 0) for none. Full width is asserted."""
    planes = mask.flatten(0, 1)
    rows = planes.any(2)
    assert torch.equal(planes, rows[:, :, None].expand_as(planes))
    top, length = rows.int().argmax(1), rows.sum(1)
    steps = torch.arange(rows.shape[1])
    assert torch.equal(rows, (steps >= top[:, None]) & (steps < (top + length)[:, None]))
    return Counter(zip(top.tolist(), (top + length).where(length > 0, 0).tolist(), strict=True))


# --- the described mode -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def described_plans() -> list[Plan]:
    torch.manual_seed(1)
    return [draw(STEM, Options(p=1.0)) for _ in range(60)]


def test_described_mode_has_the_figures_of_the_method(described_plans):
    boxes = np.concatenate([plan.boxes for plan in described_plans])
    h, w = boxes[:, 3] - boxes[:, 2], boxes[:, 5] - boxes[:, 4]
    share = h * w / (128 * 64)
    mean_agrees(h, 52.7, 0.05)
    mean_agrees(w, 31.0, 0.05)
    mean_agrees(share, 0.204, 0.0005)
    mean_agrees([plan.fraction() for plan in described_plans], 0.1015, 0.0001)
    spread = np.std(share)  # standard error below std / sqrt(2 n): lighter tails than a normal's
    assert abs(spread - 0.109) < 0.0005 + Z * spread / np.sqrt(2 * len(share))


def test_described_mode_covers_the_bands_of_rows_like_true_rectangles(described_plans):
    figures = [0.059, 0.169, 0.263, 0.319, 0.320, 0.262, 0.169, 0.058]
    boxes = np.concatenate([plan.boxes for plan in described_plans])
    for band, figure in enumerate(figures):
        low = 16 * band
        rows = np.clip(np.minimum(boxes[:, 3], low + 16) - np.maximum(boxes[:, 2], low), 0, None)
        mean_agrees(rows / 16 * (boxes[:, 5] - boxes[:, 4]) / 64, figure, 0.001)


@pytest.mark.parametrize("path", PATHS)
def test_sizes_and_positions_are_those_of_the_naive_loop(path):
    shape = (4, 8, 32, 16)
    theirs = np.array(naive.described(random.Random(2), (800, 8, 32, 16), 1.0, 4))
    ours = np.concatenate([rectangles(masks(path, shape, Options(p=1.0), seed)) for seed in range(200)])
    assert len(ours) == len(theirs) == 3200
    top, left, h, w = ours.T
    same_distribution(h, theirs[:, 3] - theirs[:, 2])
    same_distribution(w, theirs[:, 5] - theirs[:, 4])
    same_distribution(top, theirs[:, 2])
    same_distribution(left, theirs[:, 4])
    # given the size, every place where it fits is as likely: smoothed by a uniform draw, the place is uniform
    smooth = np.random.default_rng(3)
    down = (top + smooth.random(len(top))) / (32 - h + 1)
    across = (left + smooth.random(len(left))) / (16 - w + 1)
    assert stats.kstest(down, "uniform").pvalue > ALPHA
    assert stats.kstest(across, "uniform").pvalue > ALPHA
    assert abs(np.corrcoef(down, across)[0, 1]) < Z / np.sqrt(len(down))
    assert abs(stats.spearmanr(h * w, down)[0]) < Z / np.sqrt(len(down))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("channels", "expected"), [(0.5, 32), (0.1, 6), (1.0, 64), (1e-9, 1)])
def test_number_of_distinct_channels_is_exact(path, channels, expected):
    mask = masks(path, (6, 64, 24, 24), Options(p=1.0, channels=channels), 4)
    touched = mask.flatten(2).any(2)
    assert touched.sum(1).tolist() == [expected] * 6
    if 1 < expected < 64:
        assert len({tuple(row) for row in touched.tolist()}) == 6, "samples draw channels of their own"


@pytest.mark.parametrize("path", PATHS)
def test_channels_are_equally_likely(path):
    touched = masks(path, (3000, 8, 12, 12), Options(p=1.0, channels=0.25), 5).flatten(2).any(2)
    counts = touched.sum(0).numpy()
    expected = 3000 * 2 / 8
    # without replacement the counts vary less, by 1 - k/C; corrected, the statistic is chi square with C - 1 degrees
    statistic = ((counts - expected) ** 2).sum() / (expected * (1 - 2 / 8)) * 7 / 8
    assert stats.chi2.sf(statistic, 7) > ALPHA
    assert stats.chi2.cdf(statistic, 7) > ALPHA, "more even than chance"
    pairs = Counter(tuple(np.flatnonzero(row)) for row in touched.numpy())
    assert stats.chisquare([pairs[i, j] for i in range(8) for j in range(i + 1, 8)]).pvalue > ALPHA


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("p", [0.03, 0.15, 0.8])
def test_each_sample_is_masked_with_probability_p(path, p):
    chosen = masks(path, (6000, 1, 12, 12), Options(p=p), 6).flatten(1).any(1)
    binomial_agrees(chosen.sum(), 6000, p)
    neighbours = (chosen[1:] & chosen[:-1])[::2]  # disjoint pairs: independent trials
    binomial_agrees(neighbours.sum(), len(neighbours), p * p)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("published", [False, True])
def test_per_batch_tosses_one_coin_and_shares_the_channels(path, published):
    options = Options(p=0.3, per="batch", published=published)
    fired = 0
    for seed in range(300):
        touched = masks(path, (6, 8, 16, 16), options, seed).flatten(2).any(2)
        if not touched.any():
            continue
        fired += 1
        used = touched.any(0)
        if published:  # a strip may be empty, and channels repeat
            assert 1 <= used.sum() <= 4
        else:
            assert used.sum() == 4
            assert torch.equal(touched, used.expand(6, 8))
    binomial_agrees(fired, 300, 0.3)


@pytest.mark.parametrize("path", PATHS)
def test_per_batch_gives_every_sample_rectangles_of_its_own(path):
    boxes = rectangles(masks(path, (64, 1, 32, 32), Options(p=1.0, per="batch"), 7))
    assert len({tuple(box) for box in boxes.tolist()}) > 60


# --- the published mode -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published_plans() -> list[Plan]:
    torch.manual_seed(8)
    return [draw(STEM, Options(p=1.0, per="batch", published=True)) for _ in range(120)]


def test_published_mode_has_the_figures_of_the_authors_code(published_plans):
    fractions = np.array([plan.fraction() for plan in published_plans])
    mean_agrees(fractions, 0.0593, 0.0001)
    spread = fractions.std(ddof=1)
    assert abs(spread - 0.0033) < 0.00005 + Z * spread / np.sqrt(2 * len(fractions))
    planes = [len(np.unique(plan.boxes[:, :2], axis=0)) / 512 for plan in published_plans]
    mean_agrees(planes, 0.282, 0.001)
    mean_agrees([len(np.unique(plan.boxes[:, 1])) for plan in published_plans], 25.4, 0.1)
    drawn = 120 * 8 * 32
    binomial_low, binomial_high = stats.binom.interval(1 - ALPHA, drawn, 0.34)
    empty = drawn - sum(len(plan) for plan in published_plans)
    assert binomial_low - 0.005 * drawn < empty < binomial_high + 0.005 * drawn


def test_published_mode_writes_rows_in_full_width_and_never_the_bottom(published_plans):
    boxes = np.concatenate([plan.boxes for plan in published_plans])
    assert (boxes[:, 4] == 0).all()
    assert (boxes[:, 5] == 64).all()
    drawn = 120 * 8 * 32
    figures = [0.026, 0.142, 0.280, 0.304, 0.184, 0.058, 0.006, 0.000]
    for band, figure in enumerate(figures):
        rows = np.clip(np.minimum(boxes[:, 3], 16 * band + 16) - np.maximum(boxes[:, 2], 16 * band), 0, None) / 16
        mean_agrees(np.r_[rows, np.zeros(drawn - len(rows))], figure, 0.001)
    mean_agrees(np.r_[(boxes[:, 3] - boxes[:, 2]) / 128, np.zeros(drawn - len(boxes))], 0.126, 0.001)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [(32, 16), (16, 32), (12, 12)])
def test_strips_are_those_of_the_literal_slicing(path, size):
    shape = (4000, 1, *size)  # one channel: one draw a sample, nothing overlaps
    x = torch.full(shape, -1.0)
    theirs = strips(naive.published(random.Random(9), x, 1.0, 1) != x)
    same_counts(strips(masks(path, shape, Options(p=1.0, per="batch", published=True), 10)), theirs)


@pytest.mark.parametrize("path", PATHS)
def test_published_batches_overlap_like_the_literal_loop(path):
    shape = (4, 6, 16, 12)
    x = torch.full(shape, -1.0)
    rng = random.Random(11)
    theirs = [naive.published(rng, x, 1.0, 3) != x for _ in range(250)]
    ours = [masks(path, shape, Options(p=1.0, published=True), seed) for seed in range(250)]
    for measure in (
        lambda mask: mask.double().mean().item(),
        lambda mask: mask.flatten(2).any(2).sum().item(),
        lambda mask: mask.flatten(2).any(2).any(0).sum().item(),
    ):
        assert stats.ks_2samp([measure(m) for m in ours], [measure(m) for m in theirs]).pvalue > ALPHA


@pytest.mark.parametrize("path", PATHS)
def test_published_mode_masks_the_first_samples_only_when_asked(path):
    touched = masks(path, (12, 8, 16, 16), Options(p=1.0, published=True, first=8), 12).flatten(1).any(1)
    assert not touched[8:].any()
    assert touched[:8].sum() >= 6


# --- fills ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("published", [False, True])
def test_uniform_fill_is_one_uniform_number_a_rectangle(path, published):
    torch.manual_seed(13)
    x = torch.full((1500, 2, 16, 16), -1.0)
    options = Options(p=1.0, published=published, channels=0.5)  # one draw a sample
    y = masked(x, options)[0] if path == "host" else (COMPILED if path == "compiled" else mask_traced)(x, options)
    inside = y.where(y != x, torch.nan).flatten(1)
    low, high = inside.nan_to_num(nan=2.0).amin(1), inside.nan_to_num(nan=-2.0).amax(1)
    touched = high >= 0
    assert torch.equal(low[touched], high[touched]), "one number a rectangle"
    values = high[touched].numpy()
    assert len(values) > 700
    assert len(np.unique(values)) > 0.99 * len(values)
    assert (values < 1).all()
    assert stats.kstest(values, "uniform").pvalue > ALPHA


@pytest.mark.parametrize("path", PATHS)
def test_noise_fill_has_the_planes_mean_and_deviation(path):
    torch.manual_seed(14)
    offset = torch.tensor([-30.0, 0.0, 5.0, 200.0])[None, :, None, None]
    x = torch.randn(40, 4, 24, 24) * torch.tensor([0.1, 1.0, 7.0, 20.0])[None, :, None, None] + offset
    options = Options(p=1.0, channels=1.0, fill="noise")
    y = masked(x, options)[0] if path == "host" else (COMPILED if path == "compiled" else mask_traced)(x, options)
    mean, std = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True, correction=0)
    standard = ((y - mean) / std)[y != x].double().numpy()
    assert len(standard) > 10_000
    assert stats.kstest(standard, "norm").pvalue > ALPHA


@pytest.mark.slow  # the C++ compiler of inductor takes its time
@pytest.mark.parametrize("published", [False, True])
def test_inductor_draws_the_same_distribution(published):
    options = Options(p=0.6, published=published, channels=0.5)
    compiled = torch.compile(mask_traced, fullgraph=True)
    x = torch.full((16, 4, 24, 16), -1.0)
    eager, fast = [], []
    for seed in range(300):
        torch.manual_seed(seed)
        fast.append((compiled(x, options) != x).flatten(1).sum(1))
        torch.manual_seed(seed + 1000)
        eager.append((masked(x, options)[0] != x).flatten(1).sum(1))
    if published:  # one coin a batch: the samples of a batch are not independent, the batches are
        fast, eager = [f.sum()[None] for f in fast], [e.sum()[None] for e in eager]
    ours, theirs = torch.cat(fast).numpy(), torch.cat(eager).numpy()
    assert stats.ks_2samp(ours, theirs).pvalue > ALPHA
    assert (ours > 0).any()
