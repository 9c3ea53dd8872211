"""PGD: projected gradient ascent from a random start (Madry et al. 2018)."""

from __future__ import annotations

import torch

from .attack import Attack, Model
from .draws import Noise
from .iterated import iterate, stride
from .passes import Active
from .registry import STEPWISE, register


@register(
    "pgd", Attack, gradients=True, settings=("step_size", "loss", "targets", "eot"),
    fills={**STEPWISE, "restarts": "restarts"}, presets={"pgd": {}, "pgd-margin": {"loss": "margin"}}, search=1,
)  # fmt: skip
def pgd(
    attack: Attack, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise, eps: torch.Tensor
) -> torch.Tensor:
    """See ``run``; ``eps`` holds radii, (N, 1, 1, 1)."""

    def step(active: Active, gradient: torch.Tensor) -> torch.Tensor:
        return stride(attack, active, gradient)

    return iterate(attack, model, x, y, draws, eps, step, steps=attack.steps, random_start=True)
