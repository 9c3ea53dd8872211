"""Passes of a classifier during an attack: which samples still need them, and what they give."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch

from ..errors import FeatmaskError
from .attack import Model
from .objectives import Loss, objective


@dataclass
class Active:
    """Samples that are still to be broken, and all that is kept of them; a step is computed for them alone.

    Attributes:
        place: in the arrays of results, (M,).
        origin: clean pixels, (M, C, H, W).
        now: where they are.
        y: labels.
        target: classes to be reached, or None.
        eps: radii, (M, 1, 1, 1).
    """

    place: torch.Tensor
    origin: torch.Tensor
    now: torch.Tensor
    y: torch.Tensor
    target: torch.Tensor | None
    eps: torch.Tensor

    def keep(self, which: torch.Tensor) -> None:
        """Drop the others: a mask, (M,)."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                setattr(self, field.name, value[which])


class GradientPass(NamedTuple):
    """What the passes at the current pixels give: ascent direction, objective, and which are still classified right."""

    gradient: torch.Tensor
    value: torch.Tensor
    right: torch.Tensor


def gradient_at(model: Model, active: Active, loss: Loss, eot: int, climb: bool = True) -> GradientPass:
    """Gradient and objective, both averaged over ``eot`` passes, and predictions from the same passes.

    With several passes a sample counts as right while the mean of their probabilities says so: one lucky pass of a
    random model breaks nothing. Without ``climb`` the gradient is zero and costs nothing.
    """
    total, values, outputs = torch.zeros_like(active.now), [], []
    for _ in range(eot):
        with torch.set_grad_enabled(climb):
            leaf = active.now.detach().clone().requires_grad_(climb)
            logits = _logits(model, leaf)
            value = objective(loss, logits, active.y, active.target)
            if climb:
                total = total + _gradient(value, leaf)
        values.append(value.detach())
        outputs.append(logits.detach())
    # an objective that is not a number is never the best one
    value = torch.stack(values).mean(0).nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    return GradientPass(total / eot, value, _mean_logits(outputs).argmax(1) == active.y)


def predict(model: Model, x: torch.Tensor, y: torch.Tensor, eot: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, or with several passes the logarithm of their mean probabilities, and which are right."""
    with torch.no_grad():
        logits = _mean_logits([_logits(model, x) for _ in range(eot)])
    return logits, logits.argmax(1) == y


def _logits(model: Model, x: torch.Tensor) -> torch.Tensor:
    logits = model(x)
    if logits.dim() != 2 or len(logits) != len(x):
        raise FeatmaskError(f"expected logits (N, classes) with N = {len(x)}, got {tuple(logits.shape)}")
    return logits


def _mean_logits(passes: list[torch.Tensor]) -> torch.Tensor:
    return passes[0] if len(passes) == 1 else torch.stack(passes).log_softmax(2).logsumexp(0)


def _gradient(value: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
    """Of the sum, so that a sample's gradient does not depend on its neighbours; without NaN and infinity.

    A gradient that is not a number says nothing about the way up: its pixel stays, and nothing else is touched.
    """
    gradient = None
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    if gradient is None:
        raise FeatmaskError(
            "no gradient reaches the pixels: the model detaches them or runs under no_grad; "
            "use an attack without gradients, square for example"
        )
    return torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
