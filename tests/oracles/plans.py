"""Plans and comparisons that the tests of masking share."""

from __future__ import annotations

import torch

from featmask.masking.options import Options
from featmask.masking.plan import Plan, draw

FILLS = ["uniform", "zero", "mean", "noise", 2.5]
SHAPE = (3, 4, 9, 7)


def plan_of(shape=SHAPE, seed=0, **options) -> Plan:
    torch.manual_seed(seed)
    plan = draw(shape, Options(**{"p": 1.0, **options}))
    assert len(plan), "a test without a box shows nothing"
    return plan


def bits(x: torch.Tensor) -> torch.Tensor:
    """Values as integers, so that NaNs compare and -0.0 differs from 0.0."""
    return x.contiguous().view({8: torch.int64, 4: torch.int32, 2: torch.int16}[x.element_size()])
