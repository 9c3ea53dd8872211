"""FGSM: one step along the gradient, from the image to the edge of the ball (Goodfellow et al. 2015)."""

from __future__ import annotations

import torch

from .attack import Attack, Victim
from .ball import steepest
from .iterated import iterate
from .passes import Active
from .registry import register

#: How many radii the step in L2 goes before it is brought back.
_FAR = 1000


@register(
    "fgsm", Attack, gradients=True, settings=("loss", "targets", "eot"), fills={"steps": 1, "eot": "eot"},
    presets={"fgsm": {}},
)  # fmt: skip
def fgsm(attack: Attack, victim: Victim) -> torch.Tensor:
    """See ``run``."""

    def step(active: Active, gradient: torch.Tensor) -> torch.Tensor:
        # what comes back from far along a gradient is the point of ball and box where the gradient climbs most
        return steepest(gradient, active.now, active.eps * (_FAR if attack.norm == "l2" else 1), attack.norm)

    return iterate(attack, victim, step, steps=1)
