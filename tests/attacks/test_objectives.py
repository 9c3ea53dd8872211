"""Objectives against naive formulas, one sample and one class at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from featmask.attacks.objectives import likeliest_others, needs_classes, objective


def naive(loss, logits, y, target):
    z = [float(value) for value in logits]
    ranked = sorted(z, reverse=True)
    aim = max(value for j, value in enumerate(z) if j != y) if target is None else z[target]
    if loss == "ce" and target is None:
        return math.log(sum(math.exp(value) for j, value in enumerate(z) if j != y)) - z[y]
    if loss == "ce":
        return aim - math.log(sum(math.exp(value) for value in z))
    if loss == "margin":
        return aim - z[y]
    if target is None:
        return (aim - z[y]) / (ranked[0] - ranked[2])
    return (aim - z[y]) / (ranked[0] - (ranked[2] + ranked[3]) / 2)


@pytest.mark.parametrize("loss", ["ce", "margin", "dlr"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 4, 7])
def test_objectives_are_their_formulas(loss, targeted, classes):
    if classes < needs_classes(loss, targeted):
        pytest.skip("not defined for so few classes")
    logits, y = 3 * torch.randn(30, classes).double(), torch.randint(classes, (30,))
    target = (y + torch.randint(1, classes, (30,))) % classes if targeted else None
    found = objective(loss, logits, y, target)
    for number in range(30):
        aim = None if target is None else int(target[number])
        assert float(found[number]) == pytest.approx(naive(loss, logits[number], int(y[number]), aim), rel=1e-9)


def test_cross_entropy_s_gradient_has_the_log_odds_direction_and_rises_with_them():
    logits, y = torch.randn(50, 6, dtype=torch.float64, requires_grad=True), torch.randint(6, (50,))
    value, usual = objective("ce", logits, y), functional.cross_entropy(logits, y, reduction="none")
    ours, theirs = (torch.autograd.grad(v.sum(), logits, retain_graph=True)[0] for v in (value, usual))
    assert torch.allclose(functional.cosine_similarity(ours, theirs), torch.ones(50).double())
    assert torch.equal(value.argsort(), usual.argsort())
    assert torch.allclose(functional.softplus(value), usual)


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_saturated_logits_keep_a_gradient_in_float32(scale):
    logits = (scale * torch.tensor([[3.0, 1.0, 0.0]])).requires_grad_()
    y = torch.tensor([0])
    usual = torch.autograd.grad(functional.cross_entropy(logits, y), logits)[0]
    ours = torch.autograd.grad(objective("ce", logits, y).sum(), logits)[0]
    assert not usual.any()  # otherwise this test shows nothing
    assert torch.allclose(ours, torch.tensor([[-1.0, 1.0, 0.0]]))


def test_targets_are_the_likeliest_other_classes():
    logits, y = torch.tensor([[0.0, 5.0, 2.0, 3.0], [9.0, 1.0, 8.0, 2.0]]), torch.tensor([1, 2])
    assert likeliest_others(logits, y, 2).tolist() == [[3, 2], [0, 3]]
    assert likeliest_others(logits, y, 9).tolist() == [[3, 2, 0], [0, 3, 1]]
    assert likeliest_others(torch.zeros(1, 1), torch.tensor([0]), 9).shape == (1, 0)


def test_fewest_classes():
    assert [needs_classes(loss, targeted) for loss in ("ce", "margin", "dlr") for targeted in (False, True)] == [
        1, 1, 1, 1, 3, 4,
    ]  # fmt: skip
