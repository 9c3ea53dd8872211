"""Gradient attacks on classifiers in a ball around pixels in [0, 1]: what all of them share, FGSM, PGD, MI-FGSM.

FGSM: Goodfellow et al. 2015. PGD: Madry et al. 2018. MI-FGSM: Dong et al. 2018. Eps and steps are in pixel units.
"""

from __future__ import annotations

import torch

from .apgd import auto_pgd
from .attack import Attack, Model
from .ball import project, random_start, steepest
from .draws import Noise
from .momentum import accumulate
from .objectives import likeliest_others
from .passes import Ascent, Standing, look, predict

#: Share of the pixels that move at least in a step of PGD in L1, as Tramer and Boneh 2019 choose it.
_SPREAD = 0.01
#: How many radii FGSM's step in L2 goes before it is brought back.
_FAR = 1000


def ascend(
    attack: Attack, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise, eps: torch.Tensor
) -> torch.Tensor:
    """Every restart and target of an attack, on the samples that the ones before it left; see ``run``.

    Args:
        attack: a kind that follows gradients.
        model: pixels -> logits.
        x: clean pixels.
        y: labels.
        draws: of the random starts.
        eps: radii, (N, 1, 1, 1).
    """
    one = auto_pgd if attack.kind == "apgd" else follow
    found, alive, targets = x.clone(), torch.arange(len(x), device=x.device), None
    starts = attack.restarts if attack.kind in ("pgd", "apgd") else 1  # the others start at the image: nothing varies
    if attack.kind in ("pgd", "apgd") or attack.targets:
        # those that start at the image see with their first gradient who is wrong already
        logits, right = predict(model, x, y, attack.eot)
        alive = alive[right]
        if attack.targets:
            targets = likeliest_others(logits, y, attack.targets)
    goals = [None] if targets is None else list(targets.unbind(1))
    attempts = [goal for _ in range(starts) for goal in goals]
    for number, goal in enumerate(attempts):
        if not len(alive):
            break
        own = Standing(
            torch.arange(len(alive), device=x.device), x[alive], x[alive], y[alive],
            None if goal is None else goal[alive], eps[alive],
        )  # fmt: skip
        images, broken = one(attack, model, own, draws.take(alive), number == len(attempts) - 1)
        found[alive] = images
        alive = alive[~broken]
    return found


def follow(attack: Attack, model: Model, own: Standing, draws: Noise, last: bool) -> Ascent:
    """FGSM, PGD or MI-FGSM from one start.

    Args:
        attack: which.
        model: pixels -> logits.
        own: the samples, at their clean pixels.
        draws: of the random start.
        last: whether nothing follows: then nobody needs to know whom the last step broke.
    """
    found, broken = own.origin.clone(), torch.zeros(len(own.y), dtype=torch.bool, device=own.y.device)
    if attack.kind == "pgd":
        own.now = random_start(own.origin, own.eps, attack.norm, draws)
    velocity: torch.Tensor | None = None
    steps = 1 if attack.kind == "fgsm" else attack.steps
    for _ in range(steps):
        seen = look(model, own, attack.loss, attack.eot)
        gradient = seen.gradient
        if not bool(seen.right.all()):
            wrong = own.place[~seen.right]
            found[wrong], broken[wrong] = own.now[~seen.right], True
            own.keep(seen.right)
            gradient = gradient[seen.right]
            velocity = None if velocity is None else velocity[seen.right]
            if not len(own.y):
                return Ascent(found, broken)
        if attack.kind == "mifgsm":
            gradient = velocity = accumulate(velocity, gradient, attack.momentum)
        own.now = project(own.now + _step(attack, gradient, own, steps), own.origin, own.eps, attack.norm, exact=True)
    found[own.place] = own.now
    if not last:
        broken[own.place] = ~predict(model, own.now, own.y, attack.eot)[1]
    return Ascent(found, broken)


def _step(attack: Attack, gradient: torch.Tensor, own: Standing, steps: int) -> torch.Tensor:
    """One step's change before the projection: as long as the attack says."""
    if attack.kind == "fgsm":
        # what comes back from far along a gradient is the point of ball and box where the gradient climbs most
        size = own.eps * (_FAR if attack.norm == "l2" else 1)
    elif attack.step_size is None:
        size = own.eps * (2.5 / steps)
    else:
        size = attack.step_size * (own.eps / float(attack.eps) if attack.eps else torch.ones_like(own.eps))
    # along one gradient the steepest pixels alone climb most; where it changes, more pixels climb higher
    spread = 1 if attack.kind == "fgsm" else max(1, round(_SPREAD * gradient[0].numel()))
    return steepest(gradient, own.now, size, attack.norm, spread)
