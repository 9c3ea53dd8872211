"""What attacks share that follow gradients in a ball around pixels in [0, 1]: their attempts, and a loop of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from .attack import Attack, Victim
from .ball import project, random_start, steepest
from .draws import Noise
from .objectives import likeliest_others
from .passes import Active, gradient_at, predict

#: Share of the pixels that move at least in a step of PGD in L1, as Tramer and Boneh 2019 choose it.
_SPREAD = 0.01


class Attempt(NamedTuple):
    """What one start gave: an image per sample, and whether it is misclassified (False where that was not checked)."""

    images: torch.Tensor
    broken: torch.Tensor


#: From the samples at their clean pixels, their draws, and whether it is the last attempt: then it need not
#: check which samples its last step broke.
One = Callable[[Active, Noise, bool], Attempt]


def every_attempt(attack: Attack, victim: Victim, one: One, *, at_random: bool) -> torch.Tensor:
    """Every restart and target of an attack, on the samples that the ones before it left; see ``run``.

    ``one`` makes an attempt; where starts are not ``at_random`` they do not differ, and there is one only.
    """
    model, x, y, draws, eps = victim
    found, alive, targets = x.clone(), torch.arange(len(x), device=x.device), None
    if at_random or attack.targets:
        # those that start at the image see with their first gradient which samples are wrong already
        logits, right = predict(model, x, y, attack.eot)
        alive = alive[right]
        if attack.targets:
            targets = likeliest_others(logits, y, attack.targets)
    goals = [None] if targets is None else list(targets.unbind(1))
    attempts = [goal for _ in range(attack.restarts if at_random else 1) for goal in goals]
    for number, goal in enumerate(attempts):
        if not len(alive):
            break
        active = Active(
            torch.arange(len(alive), device=x.device), x[alive], x[alive], y[alive],
            None if goal is None else goal[alive], eps[alive],
        )  # fmt: skip
        images, broken = one(active, draws.take(alive), number == len(attempts) - 1)
        found[alive] = images
        alive = alive[~broken]
    return found


def iterate(
    attack: Attack,
    victim: Victim,
    step: Callable[[Any, torch.Tensor], torch.Tensor],
    *,
    steps: int,
    at_random: bool = False,
    state: type[Active] = Active,
) -> torch.Tensor:
    """Every attempt of an attack that goes step after step, each projected back.

    Args:
        attack: objective, norm, restarts, targets and passes.
        victim: model, pixels and labels.
        step: from the samples (a ``state``) and the gradients at their pixels to a change, before the projection.
        steps: how many.
        at_random: whether an attempt starts anywhere in the ball; else at the image.
        state: with what a step remembers of each sample.
    """

    def one(own: Active, draws: Noise, last: bool) -> Attempt:
        active = state(**vars(own))
        if at_random:
            active.now = random_start(active.origin, active.eps, attack.norm, draws)
        found, broken = active.origin.clone(), torch.zeros_like(active.y, dtype=torch.bool)
        for _ in range(steps):
            gradient, _, right = gradient_at(victim.model, active, attack.loss, attack.eot)
            if not bool(right.all()):
                wrong = active.place[~right]
                found[wrong], broken[wrong] = active.now[~right], True
                active.keep(right)
                gradient = gradient[right]
                if not len(active.y):
                    return Attempt(found, broken)
            ahead = active.now + step(active, gradient)
            active.now = project(ahead, active.origin, active.eps, attack.norm, exact=True)
        found[active.place] = active.now
        if not last:
            broken[active.place] = ~predict(victim.model, active.now, active.y, attack.eot)[1]
        return Attempt(found, broken)

    return every_attempt(attack, victim, one, at_random=at_random)


def stride(attack: Attack, active: Active, direction: torch.Tensor) -> torch.Tensor:
    """One of several steps along a direction, as long as the attack says."""
    if attack.step_size is None:
        size = active.eps * (2.5 / attack.steps)
    else:
        size = attack.step_size * (active.eps / float(attack.eps) if attack.eps else torch.ones_like(active.eps))
    # along one gradient the steepest pixels alone climb most; where it changes, more pixels climb higher
    spread = max(1, round(_SPREAD * direction[0].numel()))
    return steepest(direction, active.now, size, attack.norm, spread)
