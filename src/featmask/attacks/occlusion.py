"""Occlusion: a square slides over a grid, and the worst position counts.

It asks what masking promises: that a model does not hang on one region, as in the sensitivity maps of Zeiler and Fergus
2014.
"""

from __future__ import annotations

import torch

from .attack import Model
from .draws import Noise
from .objectives import objective
from .passes import predict
from .regions import Region, inside, score
from .registry import register


@register("occlusion", Region, norms=())
def occlusion(region: Region, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise, most: int) -> torch.Tensor:
    """See ``Region.run``; no more than ``most`` images stand in a pass."""
    return slide(region, model, x, y, grid(x, region.side(x), region.positions), most)[0]


def grid(x: torch.Tensor, side: int, positions: int) -> torch.Tensor:
    """Upper left corners (P, 2), row by row: ``positions`` along each axis from edge to edge, fewer on small images."""
    rows, columns = (torch.unique(torch.linspace(0, length - side, positions).round().long()) for length in x.shape[2:])
    return torch.cartesian_prod(rows, columns).to(x.device)


def slide(
    region: Region, model: Model, x: torch.Tensor, y: torch.Tensor, corners: torch.Tensor, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The worst occluded images, and the margin at each position (N, P); never more than ``most`` images in a pass.

    Broken samples leave: what they were not tried on stays at -inf.
    """
    side = region.side(x)
    scores = x.new_full((len(x), len(corners)), -torch.inf)
    left, start = torch.arange(len(x), device=x.device), 0
    while start < len(corners) and len(left):
        some = corners[start : start + max(1, most // len(left))]
        hidden = torch.where(inside(some, side, x)[None], region.filling(x[left])[:, None], x[left][:, None])
        labels = y[left].repeat_interleave(len(some))
        logits, right = predict(model, hidden.flatten(0, 1), labels, region.eot)
        value = score(objective("margin", logits, labels), right).view(len(left), len(some))
        scores[left, start : start + len(some)] = value
        left, start = left[value.amax(1) < 0], start + len(some)
    return torch.where(inside(corners[scores.argmax(1)], side, x), region.filling(x), x), scores
