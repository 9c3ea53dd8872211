"""Gradient attacks in the L-infinity ball around pixels in [0, 1].

FGSM: Goodfellow et al. 2015. PGD: Madry et al. 2018. Eps and steps are in pixel units, 8/255 for example.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch.nn import functional

from ..errors import FeatmaskError
from .ball import Norm, grey_levels, project, random_start, unit

Model = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Attack:
    """One attack with its budget.

    Attributes:
        kind: ``fgsm`` (one step from the image) or ``pgd`` (several from a random start, restarts kept apart).
        eps: largest change of a pixel.
        steps: gradient steps.
        step_size: of one step; None: 2.5 * eps / steps, as Madry et al. choose it.
        restarts: random starts; a sample counts as robust only if it survives all.
    """

    kind: Literal["fgsm", "pgd"]
    eps: Fraction
    steps: int = 1
    step_size: float | None = None
    restarts: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.eps <= 1:
            raise FeatmaskError(f"eps: expected pixels in [0, 1], for example 8/255; got {self.eps}")
        if self.steps < 1 or self.restarts < 1:
            raise FeatmaskError(f"steps and restarts must be 1 or more, got {self.steps} and {self.restarts}")

    @property
    def name(self) -> str:
        """For tables: ``pgd@2/255``."""
        return f"{self.kind}@{grey_levels(self.eps)}"

    @property
    def norm(self) -> Norm:
        """Of one pixel."""
        return "linf"


def run(attack: Attack, model: Model, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return adversarial pixels for ``x`` (N, C, H, W) in [0, 1] with labels ``y`` (N,)."""
    eps = float(attack.eps)
    if attack.kind == "fgsm":
        return fgsm(model, x, y, eps=eps)
    return pgd(
        model, x, y, eps=eps, steps=attack.steps, step_size=attack.step_size, restarts=attack.restarts,
        generator=generator,
    )  # fmt: skip


def fgsm(model: Model, x: torch.Tensor, y: torch.Tensor, *, eps: float) -> torch.Tensor:
    """One step of size eps along the sign of the cross-entropy's gradient."""
    return _step(x, x, _gradient(model, x, y), eps, eps)


def pgd(
    model: Model,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    eps: float,
    steps: int = 10,
    step_size: float | None = None,
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Projected gradient ascent on the cross-entropy.

    Args:
        model: pixels in [0, 1] -> logits; must be deterministic.
        x: (N, C, H, W) in [0, 1].
        y: (N,) labels.
        eps: radius in pixels.
        steps: steps a restart.
        step_size: of one step in pixels; None: 2.5 * eps / steps.
        restarts: random starts.
        generator: of the starts, on the CPU: the same starts on every device.

    Returns:
        For each sample an image that is misclassified, if any step of any restart met one, else the last iterate.
        Samples that are broken already are not attacked further.
    """
    step_size = 2.5 * eps / steps if step_size is None else step_size
    best = x.clone()
    alive = torch.arange(len(x), device=x.device)
    for _ in range(restarts):
        if not len(alive):
            break
        origin, labels = x[alive], y[alive]
        now = random_start(origin, eps, "linf", generator)
        for _ in range(steps):
            gradient, right = _gradient_and_right(model, now, labels)
            if not right.all():  # what is broken already leaves the batch: a step costs what it must
                best[alive[~right]] = now[~right]
                alive, now, origin, labels = alive[right], now[right], origin[right], labels[right]
                gradient = gradient[right]
            if not len(alive):
                break
            now = _step(now, origin, gradient, step_size, eps)
        else:
            best[alive] = now
            with torch.no_grad():
                alive = alive[model(now).argmax(1) == labels]
    return best


def _step(now: torch.Tensor, origin: torch.Tensor, gradient: torch.Tensor, size: float, eps: float) -> torch.Tensor:
    return project(now + size * unit(gradient, "linf"), origin, eps, "linf")


def _gradient(model: Model, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return _gradient_and_right(model, x, y)[0]


def _gradient_and_right(model: Model, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient of the summed cross-entropy with respect to the pixels, and which samples are still right."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        logits = model(leaf)
        # summed, not averaged: the gradient of a sample does not depend on its neighbours
        (gradient,) = torch.autograd.grad(functional.cross_entropy(logits, y, reduction="sum"), leaf)
    return gradient, logits.detach().argmax(1) == y
