"""Auto-PGD: projected gradient ascent whose step size follows what it found (Croce and Hein 2020, algorithm 1).

In L1 the step is spread over few pixels, and their number follows what was found too (Croce and Hein 2021). Unlike
the authors' code a sample leaves as soon as it is broken, the last image costs no gradient, and a start from the best
image carries no momentum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .attack import Attack, Victim
from .ball import ROUNDING, Norm, project, random_start, steepest
from .box import largest_l1
from .draws import Noise
from .iterated import Attempt, every_attempt
from .passes import Active, GradientPass, gradient_at
from .registry import STEPWISE, register

#: Share of a step in L-infinity and L2; the rest is the step before.
_ALPHA = 0.75
#: Steps that must have climbed between two checkpoints.
_RHO = 0.75
#: L1: first share of the pixels that move; how fast their number and the step size fall; the smallest step.
_SHARE, _FALL, _LEAST = 0.2, 1.5, 0.1
#: L1: a share of moved pixels below this of the last checkpoint's starts again with the largest step.
_SPARSER = 0.95


@dataclass
class Trajectory(Active):
    """A sample's way, with x_k of the paper in ``now``.

    Attributes:
        before: x_(k-1).
        gradient: at ``now``.
        value: the objective at ``now``.
        best: the image of the highest objective, with its ``best_gradient`` and ``best_value``.
        step: size of a step, (M, 1, 1, 1).
        climbed: steps that raised the objective since the last checkpoint.
        checked: the highest objective at the last checkpoint.
        halved: whether that checkpoint halved the step.
        pixels: L1: how many pixels share a step, (M, 1, 1, 1).
        spread: L1: how many pixels the best image changed at the last checkpoint.
    """

    before: torch.Tensor
    gradient: torch.Tensor
    value: torch.Tensor
    best: torch.Tensor
    best_gradient: torch.Tensor
    best_value: torch.Tensor
    step: torch.Tensor
    climbed: torch.Tensor
    checked: torch.Tensor
    halved: torch.Tensor
    pixels: torch.Tensor
    spread: torch.Tensor


@register(
    "apgd", Attack, gradients=True, settings=("loss", "targets", "eot"), fills={**STEPWISE, "restarts": "restarts"},
    presets={
        "apgd": {},
        "apgd-margin": {"loss": "margin"},
        "apgd-dlr": {"loss": "dlr"},
        "apgd-t": {"loss": "dlr", "targets": 9},  # as many as AutoAttack tries
    },
    standard=True, search=0,
)  # fmt: skip
def apgd(attack: Attack, victim: Victim) -> torch.Tensor:
    """See ``run``; samples that stay unbroken return their best image."""

    def one(active: Active, draws: Noise, last: bool) -> Attempt:
        """Whatever follows: the objective at the last image must be known, and with it comes the prediction."""
        found, broken = active.origin.clone(), torch.zeros_like(active.y, dtype=torch.bool)
        active.now = _start(attack.norm, active, draws)
        seen = gradient_at(victim.model, active, attack.loss, attack.eot)
        path = _first(attack.norm, active, seen)
        for number in range(attack.steps + 1):
            if not bool(seen.right.all()):
                wrong = path.place[~seen.right]
                found[wrong], broken[wrong] = path.now[~seen.right], True
                path.keep(seen.right)
            if number == attack.steps or not len(path.y):
                break
            if number in marks:
                (adapt_l1 if attack.norm == "l1" else adapt)(path, marks[number])
            _move(path, attack.norm, first=number == 0)
            seen = gradient_at(victim.model, path, attack.loss, attack.eot, climb=number + 1 < attack.steps)
            _remember(path, seen)
        found[path.place] = path.best
        return Attempt(found, broken)

    marks = checkpoints(attack.norm, attack.steps)
    return every_attempt(attack, victim, one, at_random=True)


def _start(norm: Norm, active: Active, draws: Noise) -> torch.Tensor:
    if norm != "l1":
        return random_start(active.origin, active.eps, norm, draws)
    # of a large change only a few pixels are left within the ball: sparse, as the steps from here on are
    far = active.origin + draws.normal(*active.origin.shape[1:]).to(active.origin)
    return project(far, active.origin, active.eps, norm)


def _first(norm: Norm, active: Active, seen: GradientPass) -> Trajectory:
    size = active.origin[0].numel()
    return Trajectory(
        active.place, active.origin, active.now, active.y, active.target, active.eps,
        before=active.now, gradient=seen.gradient, value=seen.value,
        best=active.now, best_gradient=seen.gradient, best_value=seen.value,
        step=active.eps * (1 if norm == "l1" else 2),
        climbed=torch.zeros_like(seen.value), checked=seen.value, halved=torch.ones_like(seen.right),
        pixels=torch.full_like(active.eps, _SHARE * size), spread=torch.full_like(active.eps, size),
    )  # fmt: skip


def checkpoints(norm: Norm, steps: int) -> dict[int, int]:
    """After how many steps the step size is looked at, and how many steps lie since the look before.

    Every 4 % of the steps in L1; else after the shares 0.22, 0.41, 0.57, ... (section 3.1): intervals shrink by 0.03
    down to 0.06.
    """
    if norm == "l1":
        every = max(1, int(0.04 * steps))
        return dict.fromkeys(range(every, steps, every), every)
    found, before, share, gap = {}, 0, 0.0, 0.22
    while share + gap < 1:
        share, gap = share + gap, max(gap - 0.03, 0.06)
        mark = math.ceil(share * steps - 1e-9)
        if mark > before:
            found[mark], before = mark - before, mark
    return found


def _move(path: Trajectory, norm: Norm, first: bool) -> None:
    """Equation 1: a projected step, then in L-infinity and L2 momentum and another projection."""
    if norm == "l1":
        step = largest_l1(path.gradient, path.now, path.step, path.pixels)
    else:
        step = steepest(path.gradient, path.now, path.step, norm)
    ahead = project(path.now + step, path.origin, path.eps, norm, exact=True)
    if norm != "l1" and not first:
        ahead = path.now + _ALPHA * (ahead - path.now) + (1 - _ALPHA) * (path.now - path.before)
        ahead = project(ahead, path.origin, path.eps, norm, exact=True)
    path.before, path.now = path.now, ahead


def _remember(path: Trajectory, seen: GradientPass) -> None:
    path.climbed = path.climbed + (seen.value > path.value)
    path.gradient, path.value = seen.gradient, seen.value
    higher = seen.value > path.best_value
    if bool(higher.any()):
        path.best_value = torch.where(higher, seen.value, path.best_value)
        path.best = torch.where(_each(higher), path.now, path.best)
        path.best_gradient = torch.where(_each(higher), path.gradient, path.best_gradient)


def adapt(path: Trajectory, steps: int) -> None:
    """Halve the step where too few steps climbed, or where nothing was gained since a look that left it as it was."""
    idle = ~path.halved & (path.best_value <= path.checked)
    path.halved = (path.climbed <= _RHO * steps) | idle
    path.step = torch.where(_each(path.halved), path.step / 2, path.step)
    path.climbed, path.checked = torch.zeros_like(path.climbed), path.best_value
    _return(path, path.halved)


def adapt_l1(path: Trajectory, steps: int) -> None:
    """Fewer pixels where the best image changed fewer; a new start there with the largest step, else smaller steps."""
    # what float32 leaves of a pixel that went back is no change: it would keep the number up for ever
    spread = ((path.best - path.origin).abs() > ROUNDING).flatten(1).sum(1).to(path.eps)[:, None, None, None]
    sparser = spread < _SPARSER * path.spread
    path.pixels, path.spread = spread / _FALL, spread
    smaller = torch.maximum(path.step / _FALL, _LEAST * path.eps)
    path.step = torch.where(sparser, path.eps, smaller)
    _return(path, sparser.flatten())


def _return(path: Trajectory, which: torch.Tensor) -> None:
    """Go on from the best image, at rest."""
    path.now = torch.where(_each(which), path.best, path.now)
    path.before = torch.where(_each(which), path.best, path.before)
    path.gradient = torch.where(_each(which), path.best_gradient, path.gradient)
    path.value = torch.where(which, path.best_value, path.value)


def _each(flags: torch.Tensor) -> torch.Tensor:
    return flags[:, None, None, None]
