"""Attacks with momentum, step by step beside loops that are written from the papers' equations."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from featmask.attacks import Attack, Draws, run
from featmask.attacks.ball import random_start
from featmask.attacks.mifgsm import accumulate

EPS = {"linf": Fraction(1, 20), "l2": Fraction(1, 5)}


class Waves(torch.nn.Module):
    """Two classes; the margin waves along three directions, so that gradients turn within a few steps."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.randn(3, 16, dtype=torch.float64)
        self.seen: list[torch.Tensor] = []

    def margin(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(6 * x.flatten(1) @ self.w.T).sum(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad:
            self.seen.append(x.detach().clone())
        margin = self.margin(x) + 50  # out of reach: no sample leaves
        return torch.stack([margin, 0 * margin], 1)

    def gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Of what attacks maximise, the negative margin, in closed form."""
        w = self.w.view(3, *x.shape)
        return -sum(6 * torch.cos(6 * (x * one).sum()) * one for one in w)


def shortened(point: torch.Tensor, clean: torch.Tensor, eps: float, norm: str) -> torch.Tensor:
    """The projection onto the ball; the box is far."""
    change = point - clean
    if norm == "linf":
        return clean + change.clamp(-eps, eps)
    return clean + change * min(1, eps / float(change.norm()))


def climbing(gradient: torch.Tensor, norm: str) -> torch.Tensor:
    return gradient.sign() if norm == "linf" else gradient / gradient.norm()


@pytest.fixture
def waves():
    model = Waves()
    return model, torch.rand(12, 1, 4, 4).double() * 0.2 + 0.4, torch.zeros(12, dtype=torch.long)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("decay", [0.0, 0.7, 1.0])
def test_mifgsm_follows_algorithm_1_of_dong_et_al(waves, norm, decay):
    """g_(t+1) = mu g_t + grad / |grad|_1, x_(t+1) = clip(x_t + alpha sign(g_(t+1))) (2018)."""
    model, x, y = waves
    eps, steps = float(EPS[norm]), 9
    found = run(Attack("mifgsm", EPS[norm], norm, steps, eps / 5, momentum=decay), model, x, y, Draws.of(0, range(12)))
    for number, clean in enumerate(x):
        now, g = clean, torch.zeros_like(clean)
        for step in range(steps):
            assert torch.allclose(model.seen[step][number], now, atol=1e-5)
            gradient = model.gradient(now)
            g = decay * g + gradient / gradient.abs().sum()
            now = shortened(now + eps / 5 * climbing(g, norm), clean, eps, norm)
        assert torch.allclose(found[number], now, atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_apgd_follows_algorithm_1_of_croce_and_hein(waves, norm):
    """All of a search of 20 steps (2020), alpha = rho = 0.75; ours starts from the best image without momentum."""
    model, x, y = waves
    eps, steps = float(EPS[norm]), 20
    run(Attack("apgd", EPS[norm], norm, steps, loss="margin"), model, x, y, Draws.of(3, range(12)))
    starts = random_start(x, eps, norm, Draws.of(3, range(12)))
    halvings = 0
    for number, clean in enumerate(x):

        def f(point):
            return -float(model.margin(point[None]))

        def ahead(now, step, clean=clean):
            return shortened(now + step * climbing(model.gradient(now), norm), clean, eps, norm)

        step, before = 2 * eps, starts[number]
        now = ahead(before, step)
        path, values = [before, now], [f(before), f(now)]
        best = max(path, key=f)
        climbed, marks = int(values[1] > values[0]), []
        share = gap = Fraction(22, 100)
        while share < 1:
            marks.append(math.ceil(share * steps))
            gap = max(gap - Fraction(3, 100), Fraction(6, 100))
            share += gap
        last_mark, last_best, halved = 0, values[0], True
        for k in range(1, steps):
            if k in marks:
                idle = not halved and f(best) <= last_best
                halved = climbed <= 0.75 * (k - last_mark) or idle
                last_mark, last_best, climbed = k, f(best), 0
                if halved:
                    step, now, before, halvings = step / 2, best, best, halvings + 1
            z = ahead(now, step)
            then = shortened(now + 0.75 * (z - now) + 0.25 * (now - before), clean, eps, norm)
            climbed += f(then) > f(now)
            before, now = now, then
            best = now if f(now) > f(best) else best
            path.append(now)
        for k in range(steps):
            assert torch.allclose(model.seen[k][number], path[k], atol=1e-5), k
    assert halvings > 12


def test_velocities_add_up():
    gradients = torch.randn(3, 4, 2, 3, 3)
    gradients[1, 2] = 0
    velocity = None
    for gradient in gradients:
        velocity = accumulate(velocity, gradient, 0.5)
    shares = [gradient / gradient.abs().sum((1, 2, 3), keepdim=True).clamp_min(1e-9) for gradient in gradients]
    assert torch.allclose(velocity, shares[0] / 4 + shares[1] / 2 + shares[2])
    assert torch.equal(accumulate(torch.zeros(4, 2, 3, 3), gradients[0], 1.0), accumulate(None, gradients[0], 1.0))
