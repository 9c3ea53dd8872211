"""Random noise as large as an attack: what chance alone breaks, the weakest control.

At each radius the strongest noise of its kind is taken, so that an attack that noise beats is surely at fault:

* ``uniform``: for ``linf`` each pixel's change is uniform in [-eps, eps]. For ``l2`` and ``l1`` the change has a
  uniform direction and reaches the sphere: nearly all of a ball of so many dimensions lies there anyway.
* ``gaussian``: for ``linf`` normal with a standard deviation of eps, cut at +-eps (a third of the pixels). For ``l2``
  and ``l1`` normal in every pixel, then scaled to the sphere; for ``l2`` this is the uniform direction.

Pixels are then brought into [0, 1], which only shortens a change.
"""

from __future__ import annotations

import torch

from .attack import Attack, Model
from .ball import lengths, project
from .draws import Noise
from .passes import predict

_TINY = 1e-12


def noise(
    attack: Attack, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise, eps: torch.Tensor
) -> torch.Tensor:
    """Return noisy pixels for ``x`` (N, C, H, W) in [0, 1] with labels ``y`` (N,): misclassified ones, or the last.

    Args:
        attack: of kind ``uniform`` or ``gaussian``; ``steps`` draws a restart, and any one breaks the sample.
        model: pixels -> logits; only its outputs are used.
        x: the clean pixels.
        y: labels.
        draws: each sample's own random numbers.
        eps: radius a sample, (N, 1, 1, 1).
    """
    found = x.clone()
    with torch.no_grad():
        left = predict(model, x, y, attack.eot)[1].nonzero().flatten()
        for _ in range(attack.steps * attack.restarts):
            if not len(left):
                break
            origin = x[left]
            radius = eps[left].to(x)
            found[left] = project(origin + drawn(attack, origin, draws.take(left), radius), origin, radius, attack.norm)
            left = left[predict(model, found[left], y[left], attack.eot)[1]]
    return found


def drawn(attack: Attack, x: torch.Tensor, draws: Noise, eps: torch.Tensor) -> torch.Tensor:
    """Changes (N, C, H, W) of norm ``eps``, not yet clipped to [0, 1]."""
    shape, norm = x.shape[1:], attack.norm
    if attack.kind == "gaussian":
        change = draws.normal(*shape)
    else:
        change = draws.normal(*shape) if norm == "l2" else 2 * draws.uniform(*shape) - 1
    if norm == "linf":
        return eps * change.to(x).clamp(-1, 1)
    if norm == "l1" and attack.kind == "uniform":
        # independent Laplace numbers point in a direction that is uniform on the sphere of the L1 norm
        change = -change.sign() * torch.log1p(-change.abs().clamp_max(1 - 1e-7))
    return eps * (change / lengths(change, norm).clamp_min(_TINY)).to(x)
