"""A method's probability over the course of training, as a function of the position; nothing to save or restore.

Source of the idea: Morerio et al. 2017, "Curriculum Dropout" (p grows from 0, slower and slower); DropBlock's authors
(Ghiasi et al. 2018) raise theirs linearly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import nn

from ..family import probability_of
from ..recipe import ChosenMethod, Schedule


def share_at(schedule: Schedule, epoch: float) -> float:
    """The share of the full probability, from ``schedule.start`` to 1, after ``epoch`` epochs, with a fraction."""
    if schedule.kind == "constant":
        return 1.0
    left = 1 - min(1.0, epoch / schedule.epochs)
    if schedule.kind == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return 1 - (1 - schedule.start) * left  # exactly 1 in the end: no p above the full one


def steering(method: ChosenMethod, layers: Sequence[nn.Module]) -> Callable[[float], None] | None:
    """What sets the probability of a method's layers before a step, given the epochs passed; None: it never changes.

    ``layers`` are all of the method's, each with its full probability.

    Raises:
        FeatmaskError: the method has a schedule and no probability.
    """
    schedule = method.schedule
    if schedule is None:
        return None
    name = probability_of(method.layer)
    full = [float(getattr(layer, name)) for layer in layers]

    def steer(epoch: float) -> None:
        share = share_at(schedule, epoch)
        for layer, p in zip(layers, full, strict=True):
            setattr(layer, name, p * share)

    return steer
