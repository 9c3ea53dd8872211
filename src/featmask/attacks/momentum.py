"""Momentum of iterative attacks (MI-FGSM, Dong et al. 2018)."""

from __future__ import annotations

import torch

from .ball import lengths

_TINY = 1e-30


def accumulate(velocity: torch.Tensor | None, gradient: torch.Tensor, momentum: float) -> torch.Tensor:
    """The velocity after one more gradient, equation 6: ``momentum * velocity + gradient / |gradient|_1``.

    Args:
        velocity: before, (N, C, H, W); None or zeros: there was no step yet.
        gradient: at the current pixels, same shape. Each sample's is scaled to L1 norm 1; zero stays zero.
        momentum: share of the velocity that is kept.
    """
    share = gradient / lengths(gradient, "l1").clamp_min(_TINY)
    return share if velocity is None else momentum * velocity + share
