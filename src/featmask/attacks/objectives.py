"""What an attack on a classifier maximises, for each sample, and towards which classes.

With logits z, the label y, a target t, and z_(1) >= z_(2) >= ... the sorted logits:

======  ==========================================  =======================================================
loss    away from the label                         towards a target
======  ==========================================  =======================================================
ce      ``log(sum over j != y of e^z_j) - z_y``     ``z_t - log(sum over j of e^z_j)``
margin  ``max over j != y of z_j - z_y``            ``z_t - z_y``
dlr     margin / (z_(1) - z_(3))                    ``(z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2)``
======  ==========================================  =======================================================

The margin is above 0 where the sample is misclassified (Carlini and Wagner 2017, f_6). DLR, the difference of logits
ratio, is Croce and Hein 2020, equations 6 and 7.

``ce`` away from the label is the log-odds s of the other classes. Cross-entropy is log(1 + e^s), which rises with s:
each sample's gradient has the same direction and the same images rank higher, so an attack whose steps have a fixed
length is the same attack. But cross-entropy's gradient is sigmoid(s) times the log-odds' one: float32 rounds it to 0
for a confident model, and 1 - p_y far earlier, at s < -17, so that a saturated model only seems robust. The log-odds
do not saturate in any precision. With several passes (EOT) their mean is what is maximised.
"""

from __future__ import annotations

from typing import Literal

import torch

from ..errors import FeatmaskError

Loss = Literal["ce", "margin", "dlr"]

_TINY = 1e-12


def needs_classes(loss: Loss, targeted: bool) -> int:
    """Fewest classes that an objective is defined for; with 1 class there is nothing to confuse, and nothing fails."""
    return (4 if targeted else 3) if loss == "dlr" else 1


def objective(loss: Loss, logits: torch.Tensor, y: torch.Tensor, target: torch.Tensor | None = None) -> torch.Tensor:
    """The value to be maximised, (N,), by the module's table; ``target`` (N,) is to be reached, None: away from ``y``.

    Raises:
        FeatmaskError: fewer classes than the loss is defined for.
    """
    fewest = needs_classes(loss, target is not None)
    if logits.shape[1] < fewest:
        form = "towards a target " if target is not None else ""
        raise FeatmaskError(f"{loss} {form}needs {fewest} classes, the model has {logits.shape[1]}: use margin")
    own = logits.gather(1, y[:, None])[:, 0]
    if target is None:
        others = logits.masked_fill(_at(y, logits), -torch.inf)
        if loss == "ce":
            return others.logsumexp(1) - own
        gap = others.amax(1) - own
    else:
        aim = logits.gather(1, target[:, None])[:, 0]
        if loss == "ce":
            return aim - logits.logsumexp(1)
        gap = aim - own
    if loss == "margin":
        return gap
    if target is None:
        top = logits.topk(3, dim=1).values
        return gap / (top[:, 0] - top[:, 2] + _TINY)
    top = logits.topk(4, dim=1).values
    return gap / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + _TINY)


def likeliest_others(logits: torch.Tensor, y: torch.Tensor, count: int) -> torch.Tensor:
    """The most probable classes beside the label, (N, K), the likeliest first; K = min(count, classes - 1)."""
    others = logits.masked_fill(_at(y, logits), -torch.inf)
    return others.topk(min(count, logits.shape[1] - 1), dim=1).indices


def _at(y: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return torch.arange(logits.shape[1], device=logits.device) == y[:, None]
