"""Balls and the box: projections against naive solvers, steps against a linear programme, starts, budgets."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from featmask.attacks import Attack, Stream, check_budget, quantised
from featmask.attacks.ball import lengths, project, random_start, steepest
from featmask.attacks.box import largest_l1
from featmask.errors import FeatmaskError

ORDER = {"linf": np.inf, "l2": 2, "l1": 1}
LARGEST = {"linf": 0.3, "l2": 2.0, "l1": 12.0}


@pytest.fixture
def pixels():
    """Images of which many pixels lie on the box, and where a step would lead from there."""
    x = (torch.rand(40, 2, 5, 6) * 1.6 - 0.3).clamp(0, 1)
    return x, x + torch.randn_like(x)


def bisected(moved, x, eps, norm):
    """The projection onto ball and box by its optimality conditions, the multiplier found by bisection in float64."""
    change, clean = (moved - x).double().flatten(1), x.double().flatten(1)
    room = torch.where(change > 0, 1 - clean, clean)
    low, high = torch.zeros(len(x), 1).double(), torch.full((len(x), 1), 1e7).double()

    def shorter(s):
        size = (change.abs() - s).clamp_min(0) if norm == "l1" else change.abs() / (1 + s)
        return torch.minimum(size, room)

    for _ in range(200):
        middle = (low + high) / 2
        long = torch.linalg.vector_norm(shorter(middle), ord=ORDER[norm], dim=1, keepdim=True) > eps.reshape(-1, 1)
        low, high = torch.where(long, middle, low), torch.where(long, high, middle)
    inside = torch.linalg.vector_norm(shorter(low * 0), ord=ORDER[norm], dim=1, keepdim=True) <= eps.reshape(-1, 1)
    return (clean + change.sign() * shorter(torch.where(inside, 0, high))).view(x.shape)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("size", [0.02, 0.5, 1.0, 5.0])
def test_projections_onto_ball_and_box_are_the_nearest_points(pixels, norm, size):
    x, moved = pixels
    eps = size * LARGEST[norm] * torch.rand(len(x), 1, 1, 1).double()
    found = project(moved, x, eps.float(), norm, exact=True)
    assert (found - bisected(moved, x, eps, norm)).abs().max() < 2e-6


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("exact", [False, True])
def test_projections_stay_inside_and_leave_alone_what_is_inside(pixels, norm, exact):
    x, moved = pixels
    eps = LARGEST[norm] * torch.rand(len(x), 1, 1, 1)
    eps[0] = 0
    found = project(moved, x, eps, norm, exact=exact)
    over = torch.linalg.vector_norm((found.double() - x.double()).flatten(1), ord=ORDER[norm], dim=1)
    assert (over - eps.flatten()).max() <= 1e-7
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(found[0], x[0])
    assert (project(found, x, eps, norm, exact=exact) - found).abs().max() < 2e-6
    alone = project(moved[7:8], x[7:8], float(eps[7]), norm, exact=exact)
    assert torch.allclose(alone, found[7:8], atol=1e-7)


def test_ten_thousand_equal_pixels_do_not_round_out_of_the_l1_ball():
    """0.7 + 1e-3 rounds to a change of 1.00004e-3 in float32: 3 * 10^4 of them would add up to 1e-3 too much."""
    x = torch.full((1, 3, 100, 100), 0.7)
    found = project(x + 0.01, x, 30.0, "l1")
    assert 30 - 5e-3 < float((found.double() - x.double()).abs().sum()) <= 30 + 1e-9


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_memory_format_stays(pixels, norm, order):
    x, moved = (part.contiguous(memory_format=order) for part in pixels)
    for found in (project(moved, x, 0.1, norm, exact=True), steepest(moved, x, torch.tensor(0.1), norm, 3)):
        assert found.is_contiguous(memory_format=order)


def test_the_steepest_step_in_l1_solves_its_linear_programme(pixels):
    """max <g, d> with |d|_1 <= length, x + d in the box, |d_i| <= length / share: SciPy's simplex on d = up - down."""
    x, gradient = (part[:12] for part in pixels)
    for length, share in ((0.7, 1), (3.0, 1), (3.0, 20), (40.0, 1)):
        found = steepest(gradient, x, torch.full((12, 1, 1, 1), length), "l1", share)
        for number in range(12):
            g, clean = gradient[number].flatten().double().numpy(), x[number].flatten().double().numpy()
            most = length / share
            bounds = [(0, min(1 - c, most)) for c in clean] + [(0, min(c, most)) for c in clean]
            best = optimize.linprog(np.r_[-g, g], A_ub=np.ones((1, 2 * len(g))), b_ub=[length], bounds=bounds)
            # what goes past the box is for the projection
            change = ((x + found).clamp(0, 1) - x)[number].flatten().double().numpy()
            assert abs(change).sum() <= length * (1 + 1e-5)
            assert change @ g == pytest.approx(-best.fun, rel=1e-4)


def test_apgd_s_step_in_l1_moves_the_largest_gradients_that_may_move(pixels):
    x, gradient = pixels
    gradient[0] = 0
    length, count = torch.rand(40, 1, 1, 1), torch.randint(1, 20, (40, 1, 1, 1)).float()
    step = largest_l1(gradient, x, length, count)
    assert not step[0].any()
    for number in range(1, 40):
        g, clean = gradient[number].flatten().tolist(), x[number].flatten().tolist()
        free = [i for i in range(60) if not (clean[i] == 0 and g[i] < 0) and not (clean[i] == 1 and g[i] > 0)]
        chosen = sorted(free, key=lambda i: -abs(g[i]))[: int(count[number])]
        expected = torch.zeros(60)
        expected[chosen] = torch.tensor([np.sign(g[i]) for i in chosen]).float() * length[number] / len(chosen)
        assert torch.allclose(step[number].flatten(), expected)


def test_steps_have_their_length_beside_the_pixels_that_the_box_holds(pixels):
    x, gradient = pixels
    size = torch.rand(len(x), 1, 1, 1)
    step = steepest(gradient, x, size, "l2")
    held = ((x == 0) & (gradient < 0)) | ((x == 1) & (gradient > 0))
    assert held.any()
    free = torch.where(held, 0, step)
    assert torch.allclose(lengths(free), size)
    assert torch.allclose(
        torch.nn.functional.cosine_similarity(free.flatten(1), torch.where(held, 0, gradient).flatten(1)),
        torch.ones(40),
    )
    assert (step * gradient).min() >= 0  # held pixels are pushed outwards, so that no projection brings them back
    assert (step[held] != 0).all()
    stuck = steepest(torch.ones_like(x), torch.ones_like(x), size, "l2")
    assert torch.equal(stuck, size.expand_as(x))
    assert torch.equal(steepest(gradient, x, size, "linf", 1), size * gradient.sign())
    for norm in ("linf", "l2", "l1"):
        assert not steepest(gradient * 0, x, size, norm, 3).any()
        tiny = steepest(gradient * 1e-30, x, size, norm, 3)  # squares underflow in float32
        assert torch.allclose(tiny, steepest(gradient, x, size, norm, 3), atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_starts_are_uniform_in_the_ball(norm):
    """Uniform in a ball of n dimensions means that (length / eps)^n is uniform. False alarms: 1e-4 a norm."""
    x = torch.full((3000, 1, 2, 3), 0.5)
    start = random_start(x, 0.3, norm, Stream(3000, torch.Generator().manual_seed(0))) - x
    share = (lengths(start, norm).flatten() / 0.3) ** 6
    assert stats.kstest(share.double().numpy(), "uniform").pvalue > 1e-4
    # and no pixel nor sign is preferred
    size = start.abs().flatten(1)
    assert (start.flatten(1) > 0).double().mean(0).sub(0.5).abs().max() < 4.5 * 0.5 / 3000**0.5
    assert (size.mean(0) / size.mean()).sub(1).abs().max() < 4.5 * float(size.std() / size.mean()) / 3000**0.5


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_budgets_are_checked_a_sample(norm):
    attack = Attack("pgd", Fraction(1, 10), norm)
    x = torch.full((3, 1, 2, 2), 0.5)
    change = torch.zeros_like(x)
    change[1, 0, 0, 0] = 0.1
    check_budget(x + change, x, attack)
    attack.check(x + change, x)
    with pytest.raises(FeatmaskError, match="left its budget"):
        check_budget(x + 1.001 * change, x, attack)
    radii = torch.tensor([0.0, 0.2, 0.0])
    check_budget(x + 1.9 * change, x, attack, radii)
    with pytest.raises(FeatmaskError, match="left its budget"):
        check_budget(x + change, x, attack, radii.flip(0)[[0, 0, 1]])
    spread = torch.full_like(x, 0.06)  # L1 0.24, L2 0.12, L-infinity 0.06
    if norm == "linf":
        check_budget(x + spread, x, attack)
    else:
        with pytest.raises(FeatmaskError, match=r"0\.24" if norm == "l1" else r"0\.12"):
            check_budget(x + spread, x, attack)
    for wrong in (x - 0.6, x + torch.nan):
        with pytest.raises(FeatmaskError, match="left its budget"):
            check_budget(wrong, x, attack)


def test_eight_bit_images_stay_in_the_l1_ball(pixels):
    x = (pixels[0] * 255).round() / 255
    attack = Attack("pgd", Fraction(4), "l1")
    found = project(pixels[1], x, 4.0, "l1")
    rounded = quantised(found, x, attack)
    check_budget(rounded, x, attack)
    assert torch.allclose(rounded * 255, (rounded * 255).round(), atol=1e-4)
    assert lengths(rounded - x, "l1").min() > 3
