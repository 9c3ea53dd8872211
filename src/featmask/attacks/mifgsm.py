"""MI-FGSM: FGSM step by step, along gradients that add up (Dong et al. 2018, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .attack import Attack, Model
from .draws import Noise
from .iterated import iterate, stride
from .momentum import accumulate
from .passes import Active
from .registry import STEPWISE, register


@dataclass
class Moving(Active):
    """Samples with the velocity of each, (M, C, H, W); None before the first step."""

    velocity: torch.Tensor | None = None


@register(
    "mifgsm", Attack, gradients=True, settings=("step_size", "loss", "targets", "momentum", "eot"),
    fills=STEPWISE, presets={"mifgsm": {}}, search=1,
)  # fmt: skip
def mifgsm(
    attack: Attack, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise, eps: torch.Tensor
) -> torch.Tensor:
    """See ``run``; ``eps`` holds radii, (N, 1, 1, 1)."""

    def step(moving: Moving, gradient: torch.Tensor) -> torch.Tensor:
        moving.velocity = accumulate(moving.velocity, gradient, attack.momentum)
        return stride(attack, moving, moving.velocity)

    return iterate(attack, model, x, y, draws, eps, step, steps=attack.steps, state=Moving)
