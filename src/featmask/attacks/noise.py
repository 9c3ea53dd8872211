"""Random noise as large as an attack: what chance alone breaks, the weakest control.

At each radius the strongest noise of its kind is taken, so that an attack that noise beats is surely at fault:

* ``uniform``: for ``linf`` each pixel's change is uniform in [-eps, eps]. For ``l2`` and ``l1`` the change has a
  uniform direction and reaches the sphere: nearly all of a ball of so many dimensions lies there anyway.
* ``gaussian``: for ``linf`` normal with a standard deviation of eps, cut at +-eps (a third of the pixels). For ``l2``
  and ``l1`` normal in every pixel, then scaled to the sphere; for ``l2`` this is the uniform direction.

Pixels are then brought into [0, 1], which only shortens a change.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from .attack import Attack, Victim
from .ball import Norm, lengths, project
from .draws import Noise
from .passes import predict
from .registry import register

_TINY = 1e-12
_FILLS = {"steps": 10, "eot": "eot"}


@register("uniform", Attack, fills=_FILLS, presets={"uniform": {}})
def uniform(attack: Attack, victim: Victim) -> torch.Tensor:
    """See ``run``."""
    return _any_draw(attack, victim, uniform_change)


@register("gaussian", Attack, fills=_FILLS, presets={"gaussian": {}})
def gaussian(attack: Attack, victim: Victim) -> torch.Tensor:
    """See ``run``."""
    return _any_draw(attack, victim, gaussian_change)


def uniform_change(shape: torch.Size, norm: Norm, draws: Noise) -> torch.Tensor:
    """Changes (N, \\*shape) within [-1, 1] for ``linf``, else on the unit sphere, evenly."""
    if norm == "l2":
        return gaussian_change(shape, norm, draws)
    change = 2 * draws.uniform(*shape) - 1
    if norm == "linf":
        return change
    # independent Laplace numbers point in a direction that is uniform on the sphere of the L1 norm
    change = -change.sign() * torch.log1p(-change.abs().clamp_max(1 - 1e-7))
    return change / lengths(change, norm).clamp_min(_TINY)


def gaussian_change(shape: torch.Size, norm: Norm, draws: Noise) -> torch.Tensor:
    """Normal changes (N, \\*shape), cut to [-1, 1] for ``linf``, else scaled to the unit sphere."""
    change = draws.normal(*shape)
    return change.clamp(-1, 1) if norm == "linf" else change / lengths(change, norm).clamp_min(_TINY)


def _any_draw(
    attack: Attack, victim: Victim, change: Callable[[torch.Size, Norm, Noise], torch.Tensor]
) -> torch.Tensor:
    """Misclassified pixels, or the last; ``steps`` draws per restart, and any one breaks the sample."""
    model, x, y, draws, eps = victim
    found = x.clone()
    with torch.no_grad():
        left = predict(model, x, y, attack.eot)[1].nonzero().flatten()
        for _ in range(attack.steps * attack.restarts):
            if not len(left):
                break
            origin, radius = x[left], eps[left].to(x)
            moved = origin + radius * change(x.shape[1:], attack.norm, draws.take(left)).to(x)
            found[left] = project(moved, origin, radius, attack.norm)
            left = left[predict(model, found[left], y[left], attack.eot)[1]]
    return found
