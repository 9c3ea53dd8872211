"""Erasing: one random square is hidden, the average case beside occlusion's worst (Zhong et al. 2020)."""

from __future__ import annotations

import torch

from .attack import Model
from .draws import Noise
from .regions import Region, inside, window
from .registry import register


@register("erasing", Region, norms=())
def erasing(region: Region, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise, most: int) -> torch.Tensor:
    """See ``Region.run``; the model is not asked."""
    side = region.side(x)
    return torch.where(inside(window(draws.uniform(2).to(x), side, x), side, x), region.filling(x), x)
