"""Attacks on one square of the image: hidden by a constant, or replaced by pixels of the attacker's choice.

Occlusion asks what masking promises: that a model does not hang on one region. The square slides over a grid and the
worst position counts, as in the sensitivity maps of Zeiler and Fergus 2014; ``erasing`` hides one random square, the
average case (Zhong et al. 2020). ``patch`` is the adversarial patch of Brown et al. 2017, made for each image by itself
(Karmon et al. 2018), and bounded in place and size, not in how far its pixels move.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import torch

from ..errors import FeatmaskError
from ..records import names
from .attack import Model
from .ball import ROUNDING
from .draws import Noise
from .objectives import objective
from .passes import Standing, look, predict
from .square import inside, window

Kind = Literal["occlusion", "erasing", "patch"]


@dataclass(frozen=True)
class Region:
    """One attack on a square of the image.

    Attributes:
        kind: ``occlusion`` (the worst of a grid of positions), ``erasing`` (one random position), ``patch`` (pixels
            found by sign gradient ascent on the margin, at the positions where occlusion hurts most).
        size: side of the square as a share of the image's shorter side, rounded to whole pixels, at least 1.
        fill: of ``occlusion`` and ``erasing``: pixels in [0, 1], or ``"mean"``: of each channel of each image.
            ``patch`` looks for its positions with it.
        positions: of the grid, along each axis, both edges among them. ``erasing`` may fall anywhere.
        steps: gradient steps of ``patch`` at each position.
        step_size: of one step in pixels; None: 1.25 / steps, from anywhere in [0, 1] to anywhere.
        restarts: positions that ``patch`` tries, each from random pixels: the k where occlusion hurts most.
        eot: passes that logits and gradients are averaged over, for models that are left random.
    """

    kind: Kind
    size: Fraction
    fill: float | Literal["mean"] = 0.5
    positions: int = 7
    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    eot: int = 1

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise FeatmaskError(f"kind: expected one of {', '.join(get_args(Kind))}; got {self.kind!r}")
        if not 0 < self.size <= 1:
            raise FeatmaskError(f"size: expected a share of the shorter side in (0, 1], got {self.size}")
        if self.fill != "mean" and not (isinstance(self.fill, int | float) and 0 <= self.fill <= 1):
            raise FeatmaskError(f"fill: expected pixels in [0, 1] or 'mean', got {self.fill!r}")
        for key in ("positions", "steps", "restarts", "eot"):
            if getattr(self, key) < 1:
                raise FeatmaskError(f"{key}: expected 1 or more, got {getattr(self, key)}")
        if self.step_size is not None and not 0 < self.step_size <= 1:
            raise FeatmaskError(f"step_size: expected pixels in (0, 1], or None; got {self.step_size}")

    @property
    def name(self) -> str:
        """For tables: ``occlusion@20%``, ``occlusion-mean@20%``, ``patch@12.5%``."""
        filled = () if self.fill == 0.5 or self.kind == "patch" else (str(self.fill),)
        return names.Kind(self.kind, filled).at(f"{float(self.size * 100):g}%")

    @property
    def gradients(self) -> bool:
        """Whether it needs a model that gradients flow through."""
        return self.kind == "patch"

    @property
    def needs_classes(self) -> int:
        """Fewest classes it is defined for."""
        return 1

    def plain(self) -> dict[str, Any]:
        """JSON values for the record."""
        return {"name": self.name, **asdict(self), "size": str(self.size)}

    def side(self, x: torch.Tensor) -> int:
        """Of the square, in pixels of ``x`` (N, C, H, W)."""
        return max(math.floor(self.size * min(x.shape[2:]) + Fraction(1, 2)), 1)

    def run(self, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise) -> torch.Tensor:
        """Return attacked pixels for ``x`` (N, C, H, W) in [0, 1] with labels ``y`` (N,).

        For each sample an image that is misclassified, if any was met; else the one of the largest margin max_other z
        - z_y. Samples that are misclassified already are returned as they are. ``erasing`` returns its one square.
        """
        if not len(x):
            return x.clone()
        with torch.inference_mode(False):
            found = x.clone()
            left = predict(model, x, y, self.eot)[1].nonzero().flatten()
            if len(left):
                found[left] = self._attacked(model, x[left], y[left], draws.take(left), len(x))
            return found

    def _attacked(self, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise, most: int) -> torch.Tensor:
        side = self.side(x)
        if self.kind == "erasing":
            return torch.where(inside(window(draws.uniform(2).to(x), side, x), side, x), _fill(self, x), x)
        corners = grid(x, side, self.positions)
        worst, scores = _slid(self, model, x, y, corners, side, most)
        if self.kind == "occlusion":
            return worst
        best, high = worst, scores.amax(1)
        for place in scores.topk(min(self.restarts, len(corners)), dim=1).indices.unbind(1):
            left = (high < 0).nonzero().flatten()
            if not len(left):
                break
            where = inside(corners[place[left]], side, x)
            pixels, score = _ascended(self, model, x[left], y[left], where, draws.take(left))
            rising = score > high[left]
            best[left[rising]], high[left[rising]] = pixels[rising], score[rising]
        return best

    def check(self, adversarial: torch.Tensor, x: torch.Tensor) -> None:
        """Recompute from the pixels alone what changed.

        Raises:
            FeatmaskError: another shape, a change outside one square of the permitted side, a pixel outside [0, 1], or
                one that is not finite.
        """
        if adversarial.shape != x.shape:
            raise FeatmaskError(f"{self.name} returned {tuple(adversarial.shape)} for pixels {tuple(x.shape)}")
        if not x.numel():
            return
        after = adversarial.detach().cpu().double()
        within = bool(after.isfinite().all()) and float(after.min()) >= 0 and float(after.max()) <= 1
        changed = ((after - x.detach().cpu().double()).abs() > ROUNDING).any(1)
        spread = max(_extent(changed.any(2)), _extent(changed.any(1)))
        if spread > self.side(x) or not within:
            raise FeatmaskError(
                f"{self.name} left its budget: changes spread over {spread} pixels of {self.side(x)}, "
                f"within [0, 1]: {within}"
            )


def grid(x: torch.Tensor, side: int, positions: int) -> torch.Tensor:
    """Upper left corners (P, 2), row by row: ``positions`` along each axis from edge to edge, fewer on small images."""
    rows, columns = (torch.unique(torch.linspace(0, length - side, positions).round().long()) for length in x.shape[2:])
    return torch.cartesian_prod(rows, columns).to(x.device)


def _slid(
    region: Region, model: Model, x: torch.Tensor, y: torch.Tensor, corners: torch.Tensor, side: int, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The worst occluded images, and the margin at each position (N, P); never more than ``most`` images in a pass.

    Broken samples leave: what they were not tried on stays at -inf.
    """
    scores = x.new_full((len(x), len(corners)), -torch.inf)
    left, start = torch.arange(len(x), device=x.device), 0
    while start < len(corners) and len(left):
        some = corners[start : start + max(1, most // len(left))]
        hidden = torch.where(inside(some, side, x)[None], _fill(region, x[left])[:, None], x[left][:, None])
        labels = y[left].repeat_interleave(len(some))
        logits, right = predict(model, hidden.flatten(0, 1), labels, region.eot)
        value = _score(objective("margin", logits, labels), right).view(len(left), len(some))
        scores[left, start : start + len(some)] = value
        left, start = left[value.amax(1) < 0], start + len(some)
    return torch.where(inside(corners[scores.argmax(1)], side, x), _fill(region, x), x), scores


def _ascended(
    region: Region, model: Model, x: torch.Tensor, y: torch.Tensor, where: torch.Tensor, draws: Noise
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels of one square a sample, (N, 1, H, W) ``where``, by sign ascent; and the score of each, at its best."""
    stride = 1.25 / region.steps if region.step_size is None else region.step_size
    start = torch.where(where, draws.uniform(*x.shape[1:]).to(x), x)
    best, high = start.clone(), x.new_full((len(x),), -torch.inf)
    place, eps = torch.arange(len(x), device=x.device), x.new_ones(len(x), 1, 1, 1)
    own = Standing(place, origin=x, now=start, y=y, target=None, eps=eps)
    for step in range(region.steps + 1):
        seen = look(model, own, "margin", region.eot, climb=step < region.steps)
        score = _score(seen.value, seen.right)
        rising = score > high[own.place]
        best[own.place[rising]], high[own.place[rising]] = own.now[rising], score[rising]
        own.keep(seen.right)
        if not len(own.y):
            break
        moved = (own.now + stride * seen.gradient[seen.right].sign()).clamp(0, 1)
        own.now = torch.where(where[own.place], moved, own.now)
    return best, high


def _score(value: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The margin, below 0 wherever the label is still the answer (a tie among them) and at least 0 elsewhere."""
    return torch.where(right, value.clamp_max(-torch.finfo(value.dtype).tiny), value.clamp_min(0))


def _fill(region: Region, x: torch.Tensor) -> torch.Tensor:
    """(N, C, 1, 1), or (1, 1, 1, 1) for a number."""
    return x.mean((2, 3), keepdim=True) if region.fill == "mean" else x.new_full((1, 1, 1, 1), region.fill)


def _extent(touched: torch.Tensor) -> int:
    """The longest distance from the first to the last True of a row (N, L), both counted."""
    places = torch.arange(1, touched.shape[1] + 1)
    last = (touched * places).amax(1)
    first = torch.where(touched, places, touched.shape[1] + 1).amin(1)
    return int((last - first + 1).clamp_min(0).max())
