"""MI-FGSM: FGSM step by step, along gradients that add up (Dong et al. 2018, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .attack import Attack, Victim
from .ball import lengths
from .iterated import iterate, stride
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
def mifgsm(attack: Attack, victim: Victim) -> torch.Tensor:
    """See ``run``."""

    def step(moving: Moving, gradient: torch.Tensor) -> torch.Tensor:
        moving.velocity = accumulate(moving.velocity, gradient, attack.momentum)
        return stride(attack, moving, moving.velocity)

    return iterate(attack, victim, step, steps=attack.steps, state=Moving)


def accumulate(velocity: torch.Tensor | None, gradient: torch.Tensor, momentum: float) -> torch.Tensor:
    """The velocity after one more gradient, equation 6: ``momentum * velocity + gradient / |gradient|_1``.

    The velocity, (N, C, H, W), is None or zeros before the first step. Each sample's gradient is scaled to L1 norm 1;
    zero stays zero.
    """
    share = gradient / lengths(gradient, "l1").clamp_min(1e-30)
    return share if velocity is None else momentum * velocity + share
