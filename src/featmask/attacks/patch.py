"""The adversarial patch of Brown et al. 2017, made for each image by itself (Karmon et al. 2018).

It is bounded in place and size, not in how far its pixels move: sign gradient ascent on the margin, from random pixels,
where occlusion hurts most.
"""

from __future__ import annotations

import torch

from .attack import Model
from .draws import Noise
from .occlusion import grid, slide
from .passes import Active, gradient_at
from .regions import Region, inside, score
from .registry import register


@register("patch", Region, norms=(), gradients=True, fills={"steps": 20, "restarts": 2})
def patch(region: Region, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise, most: int) -> torch.Tensor:
    """See ``Region.run``; while positions are looked for, no more than ``most`` images stand in a pass."""
    side = region.side(x)
    corners = grid(x, side, region.positions)
    best, scores = slide(region, model, x, y, corners, most)
    high = scores.amax(1)
    for place in scores.topk(min(region.restarts, len(corners)), dim=1).indices.unbind(1):
        left = (high < 0).nonzero().flatten()
        if not len(left):
            break
        where = inside(corners[place[left]], side, x)
        pixels, reached = _climb(region, model, x[left], y[left], where, draws.take(left))
        rising = reached > high[left]
        best[left[rising]], high[left[rising]] = pixels[rising], reached[rising]
    return best


def _climb(
    region: Region, model: Model, x: torch.Tensor, y: torch.Tensor, where: torch.Tensor, draws: Noise
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels of one square per sample, (N, 1, H, W) ``where``, by sign ascent; and the score of each, at its best."""
    stride = 1.25 / region.steps if region.step_size is None else region.step_size
    start = torch.where(where, draws.uniform(*x.shape[1:]).to(x), x)
    best, high = start.clone(), x.new_full((len(x),), -torch.inf)
    place, eps = torch.arange(len(x), device=x.device), x.new_ones(len(x), 1, 1, 1)
    active = Active(place, origin=x, now=start, y=y, target=None, eps=eps)
    for step in range(region.steps + 1):
        gradient, value, right = gradient_at(model, active, "margin", region.eot, climb=step < region.steps)
        reached = score(value, right)
        rising = reached > high[active.place]
        best[active.place[rising]], high[active.place[rising]] = active.now[rising], reached[rising]
        active.keep(right)
        if not len(active.y):
            break
        moved = (active.now + stride * gradient[right].sign()).clamp(0, 1)
        active.now = torch.where(where[active.place], moved, active.now)
    return best, high
