"""PGD: projected gradient ascent from a random start (Madry et al. 2018)."""

from __future__ import annotations

import torch

from .attack import Attack, Victim
from .iterated import iterate, stride
from .passes import Active
from .registry import STEPWISE, register


@register(
    "pgd", Attack, gradients=True, settings=("step_size", "loss", "targets", "eot"),
    fills={**STEPWISE, "restarts": "restarts"}, presets={"pgd": {}, "pgd-margin": {"loss": "margin"}}, search=1,
)  # fmt: skip
def pgd(attack: Attack, victim: Victim) -> torch.Tensor:
    """See ``run``."""

    def step(active: Active, gradient: torch.Tensor) -> torch.Tensor:
        return stride(attack, active, gradient)

    return iterate(attack, victim, step, steps=attack.steps, at_random=True)
