"""A complete attack in one file, which tests add to the table: the example of how to add one.

I-FGSM (Kurakin et al. 2017): FGSM in small steps. In ``src/featmask/attacks/`` this file would be found by itself, and
the imports from ``featmask.attacks`` would be relative.
"""

from __future__ import annotations

import torch

from featmask.attacks import Attack
from featmask.attacks.attack import Victim
from featmask.attacks.iterated import iterate
from featmask.attacks.passes import Active
from featmask.attacks.registry import STEPWISE, register


@register(
    "ifgsm",
    Attack,  # the class of its settings: eps, norm, steps, loss, ...
    norms=("linf",),  # a recipe that asks for another is refused before time is spent
    gradients=True,  # not for models without
    settings=("loss", "targets", "eot"),  # what its record names beside eps, norm, steps and restarts
    fills=STEPWISE,  # in suites the number of steps is theirs
    presets={"ifgsm": {}, "ifgsm-margin": {"loss": "margin"}},  # its names in `evaluate.attacks`
)
def ifgsm(attack: Attack, victim: Victim) -> torch.Tensor:
    """One step's change; projections, targets and broken samples that leave are the loop's."""

    def step(active: Active, gradient: torch.Tensor) -> torch.Tensor:
        return active.eps * (2.5 / attack.steps) * gradient.sign()

    return iterate(attack, victim, step, steps=attack.steps)
