"""The ball, the check that recomputes it, and 8-bit pixels inside it."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from featmask.attacks import Stream, check_budget, quantised
from featmask.attacks.ball import project, random_start
from featmask.errors import FeatmaskError
from featmask.reid.attacks import MetricAttack, perturb

KINDS = ("sma", "odfa", "lta")


def eight_bit(*shape):
    return torch.randint(0, 256, shape) / 255


@pytest.mark.parametrize(("norm", "eps"), [("linf", 16 / 255), ("l2", 0.5), ("l2", 5.0)])
def test_projection_is_the_nearest_point_of_ball_and_box(norm, eps):
    """No mixture of the result with another point of the (convex) set is nearer."""
    x, moved = torch.rand(20, 3, 5, 4, dtype=torch.float64) * 0.2 + 0.4, torch.randn(20, 3, 5, 4, dtype=torch.float64)
    result = project(moved * 0.1 + x, x, eps, norm)
    inside = random_start(x, eps, norm, Stream(len(x)))
    for share in (1e-3, 0.1, 1.0):
        other = result + share * (inside - result)
        gap = (moved * 0.1 + x - other).flatten(1).norm(dim=1) - (moved * 0.1 + x - result).flatten(1).norm(dim=1)
        assert gap.min() > -1e-6


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_starts_fill_the_ball(norm):
    x = torch.full((4000, 1, 1, 2), 0.5)
    change = (random_start(x, 0.2, norm, Stream(len(x), torch.Generator().manual_seed(0))) - x).flatten(1)
    size = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert size.max() <= 0.2 + 1e-6
    # in two dimensions the share of the ball within half its radius is a quarter: 4000 draws, 7 standard deviations
    assert abs(float((size < 0.1).float().mean()) - 0.25) < 0.05
    # the mean of a coordinate is 0, its deviation at most 0.2 / sqrt(3): 6 standard errors
    assert (change.mean(0).abs() < 6 * 0.2 / (3 * 4000) ** 0.5).all()


@pytest.mark.parametrize("eps", [Fraction(1, 2), Fraction(3), Fraction(20)])
def test_l2_balls_hold_on_large_images(eps):
    x = torch.rand(2, 3, 256, 128)
    attack = MetricAttack("sma", eps, steps=2, norm="l2")
    adversarial = perturb(attack, lambda z: z.mean((2, 3)) * 100 + z[:, :, 0].sum(2), x)
    check_budget(adversarial, x, attack)
    far = project(x + torch.randn(x.shape), x, float(eps), "l2")
    check_budget(far, x, attack)
    assert (far - x).double().flatten(1).norm(dim=1).min() > 0.5 * min(float(eps), 100)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", KINDS)
def test_dark_and_bright_pixels_stay_where_they_are(kind, norm):
    """A black pixel never turns bright: neither in the attack, nor as an 8-bit integer."""
    x = (torch.rand(8, 3, 6, 4) < 0.5).float()
    w = torch.randn(4, 72)
    attack = MetricAttack(kind, Fraction(5, 255) if norm == "linf" else Fraction(1, 5), norm=norm)
    adversarial = perturb(attack, lambda z: z.flatten(1) @ w.T, x, generator=torch.Generator().manual_seed(0))
    check_budget(adversarial, x, attack)
    stored = (quantised(adversarial, x, attack) * 255).round().to(torch.uint8)
    assert ((stored < 128) == (x < 0.5)).all()
    assert (adversarial != x).any()


def test_the_check_finds_what_leaves_the_budget():
    x = torch.full((2, 3, 4, 4), 0.5)
    linf, l2 = MetricAttack("sma", Fraction(5, 255)), MetricAttack("sma", Fraction(1, 2), norm="l2")
    one = torch.zeros_like(x)
    one[1, 0, 0, 0] = 1
    for attack, change in ((linf, one * 5 / 255), (l2, one * 0.5), (l2, torch.full_like(x, 0.5 / 48**0.5))):
        check_budget(x + change, x, attack)
        with pytest.raises(FeatmaskError, match="left its budget"):
            check_budget(x + 1.001 * change, x, attack)
    for wrong in (x + one * torch.nan, x + one * torch.inf):
        with pytest.raises(FeatmaskError, match="left its budget"):
            check_budget(wrong, x, linf)
    with pytest.raises(FeatmaskError, match=r"within \[0, 1\]: False"):
        check_budget(x * 2 + one / 255, x * 2, linf)
    with pytest.raises(FeatmaskError, match="returned"):
        check_budget(x[:1], x, linf)


@pytest.mark.parametrize("eps", [Fraction(5, 255), Fraction(1, 102), Fraction(1, 50), Fraction(1, 1000)])
def test_8_bit_pixels_stay_inside_an_linf_ball(eps):
    attack = MetricAttack("sma", eps)
    x = eight_bit(8, 3, 16, 16)
    adversarial = project(x + torch.randn(x.shape), x, float(eps), "linf")
    stored = quantised(adversarial, x, attack)
    check_budget(stored, x, attack)
    assert torch.equal(stored, (stored * 255).round() / 255)
    # the oracle: of all 256 levels the nearest one inside the ball, pixel by pixel
    levels = torch.arange(256, dtype=torch.float64) / 255
    for a, b, got in zip(adversarial.flatten()[:500], x.flatten()[:500], stored.flatten()[:500], strict=True):
        allowed = levels[(levels - float(b)).abs() <= float(eps) + 1e-6]
        assert abs(float(got) - float(a)) <= float((allowed - float(a)).abs().min()) + 1e-6
    # what plain rounding does at a radius of 2.5 levels: it leaves the ball
    if eps == Fraction(1, 102):
        with pytest.raises(FeatmaskError, match="left its budget"):
            check_budget(quantised(adversarial), x, attack)


def test_8_bit_pixels_of_images_between_levels():
    attack = MetricAttack("sma", Fraction(5, 255))
    x = torch.rand(4, 3, 8, 8)
    stored = quantised(project(x + torch.randn(x.shape), x, 5 / 255, "linf"), x, attack)
    check_budget(stored, x, attack)


def test_8_bit_pixels_stay_inside_an_l2_ball():
    x = torch.randint(60, 196, (50, 3, 8, 8)) / 255  # the box must not shorten what rounding lengthens
    for eps in (Fraction(1, 20), Fraction(1, 2), Fraction(3, 2)):
        attack = MetricAttack("sma", eps, norm="l2")
        adversarial = project(x + torch.randn(x.shape), x, float(eps), "l2")
        stored = quantised(adversarial, x, attack)
        check_budget(stored, x, attack)
        assert torch.equal(stored, (stored * 255).round() / 255)
    with pytest.raises(FeatmaskError, match="left its budget"):
        check_budget(quantised(adversarial), x, attack)


def test_quantised_needs_both_or_neither():
    x = torch.rand(1, 3, 2, 2)
    assert torch.equal(quantised(x), (x * 255).round() / 255)
    with pytest.raises(FeatmaskError, match="together"):
        quantised(x, x)
