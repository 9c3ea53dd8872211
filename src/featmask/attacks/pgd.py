"""PGD: projected gradient ascent from a random start (Madry et al. 2018)."""

from __future__ import annotations

from functools import partial

import torch

from .attack import Attack, Victim
from .iterated import iterate, stride
from .registry import STEPWISE, register


@register(
    "pgd", Attack, gradients=True, settings=("step_size", "loss", "targets", "eot"),
    fills={**STEPWISE, "restarts": "restarts"}, presets={"pgd": {}, "pgd-margin": {"loss": "margin"}}, search=1,
)  # fmt: skip
def pgd(attack: Attack, victim: Victim) -> torch.Tensor:
    """See ``run``."""
    return iterate(attack, victim, partial(stride, attack), steps=attack.steps, at_random=True)
