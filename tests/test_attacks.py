"""Attacks against closed forms (linear models), against foolbox, and against each other."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn

from featmask.attacks import Attack, fgsm, pgd, run
from featmask.errors import FeatmaskError

EPS = 0.05


class Linear(nn.Module):
    """Two classes, logits +-(w.x - b)/2: the margin falls by exactly eps * |w|_1 under the best L-infinity attack."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(pixels) / pixels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x - 0.5).flatten(1) @ self.w
        return torch.stack([-score, score], 1) / 2


@pytest.fixture
def linear():
    model = Linear(3 * 6 * 6)
    # away from 0 and 1, so that the box does not bind and the closed form is exact
    x = torch.rand(400, 3, 6, 6) * 0.8 + 0.1
    y = (torch.rand(400) < 0.5).long()
    return model, x, y


def closed_form(model, x, y, eps):
    margin = ((x - 0.5).flatten(1) @ model.w.detach()) * (2 * y - 1)
    return margin - eps * model.w.detach().abs().sum() > 0


@pytest.mark.parametrize("attack", [Attack("fgsm", Fraction(1, 20)), Attack("pgd", Fraction(1, 20), steps=10)])
def test_linear_models_have_a_closed_form(linear, attack):
    model, x, y = linear
    for eps in (Fraction(0), Fraction(1, 200), Fraction(1, 20)):
        sized = Attack(attack.kind, eps, steps=attack.steps)
        right = model(run(sized, model, x, y, torch.Generator().manual_seed(0))).argmax(1) == y
        expected = closed_form(model, x, y, float(eps))
        # samples within rounding of the boundary may fall either way
        assert (right != expected).sum() <= 1
        assert expected.sum() > 0 or eps > 0.01


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5)
    ).eval()


def test_budget_and_box_hold_to_the_last_bit():
    model = small_network()
    x, y = torch.rand(64, 1, 12, 12), torch.randint(5, (64,))
    for adversarial in (fgsm(model, x, y, eps=EPS), pgd(model, x, y, eps=EPS, steps=7, restarts=2)):
        assert (adversarial - x).abs().max() <= EPS + 1e-6
        assert adversarial.min() >= 0
        assert adversarial.max() <= 1


def test_pgd_is_at_least_as_strong_as_fgsm_and_grows_with_steps_and_restarts():
    model = small_network()
    x = torch.rand(300, 1, 12, 12)
    y = model(x).argmax(1)

    def robust(adversarial):
        return int((model(adversarial).argmax(1) == y).sum())

    one = robust(fgsm(model, x, y, eps=0.03))
    few = robust(pgd(model, x, y, eps=0.03, steps=3, generator=torch.Generator().manual_seed(0)))
    many = robust(pgd(model, x, y, eps=0.03, steps=30, restarts=3, generator=torch.Generator().manual_seed(0)))
    assert many <= few
    assert many <= one
    assert 0 < many < len(x)


def test_parameters_get_no_gradient_and_the_input_is_not_touched():
    model = small_network()
    x, y = torch.rand(8, 1, 12, 12), torch.zeros(8, dtype=torch.long)
    before = x.clone()
    pgd(model, x, y, eps=EPS, steps=2)
    assert torch.equal(x, before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_pgd_repeats_from_its_generator():
    model = small_network()
    x, y = torch.rand(8, 1, 12, 12), torch.zeros(8, dtype=torch.long)
    first, second = (pgd(model, x, y, eps=EPS, steps=2, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_parity_with_foolbox():
    """Same budget, same step: within two samples of 200 of foolbox's survivors (their random starts differ)."""
    foolbox = pytest.importorskip("foolbox")
    model = small_network()
    x = torch.rand(200, 1, 12, 12)
    y = model(x).argmax(1)
    theirs = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    for eps in (0.01, 0.03):
        attack = foolbox.attacks.LinfPGD(abs_stepsize=eps / 4, steps=20, random_start=True)
        _, _, broken = attack(theirs, x, y, epsilons=eps)
        ours = model(pgd(model, x, y, eps=eps, steps=20, step_size=eps / 4)).argmax(1) == y
        assert int(ours.sum()) <= int((~broken).sum()) + 2
        _, _, broken = foolbox.attacks.LinfFastGradientAttack(random_start=False)(theirs, x, y, epsilons=eps)
        ours = model(fgsm(model, x, y, eps=eps)).argmax(1) == y
        assert abs(int(ours.sum()) - int((~broken).sum())) <= 1


def test_names_and_errors():
    assert Attack("pgd", Fraction(2, 255)).name == "pgd@2/255"
    assert Attack("fgsm", Fraction(1, 510)).name == "fgsm@0.5/255"
    with pytest.raises(FeatmaskError, match="8/255"):
        Attack("pgd", Fraction(8))
    with pytest.raises(FeatmaskError, match="1 or more"):
        Attack("pgd", Fraction(1, 255), steps=0)
