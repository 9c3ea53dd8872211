"""What attacks on one square of the image share: their settings, what they may change, and how they are scored."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal

import torch

from ..errors import FeatmaskError
from ..records import names
from .attack import Method, Model
from .ball import ROUNDING
from .draws import Noise
from .passes import predict
from .registry import row_of


@dataclass(frozen=True)
class Region(Method):
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

    kind: str
    size: Fraction
    fill: float | Literal["mean"] = 0.5
    positions: int = 7
    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    eot: int = 1

    def __post_init__(self) -> None:
        row_of(self.kind, Region)
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
        # pixels that gradients found replace the fill
        filled = () if self.fill == 0.5 or self.gradients else (str(self.fill),)
        return names.Kind(self.kind, filled).at(f"{float(self.size * 100):g}%")

    def plain(self) -> dict[str, Any]:
        """JSON values for the record."""
        return {"name": self.name, **asdict(self), "size": str(self.size)}

    def side(self, x: torch.Tensor) -> int:
        """Of the square, in pixels of ``x`` (N, C, H, W)."""
        return max(math.floor(self.size * min(x.shape[2:]) + Fraction(1, 2)), 1)

    def run(self, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise) -> torch.Tensor:
        """Per sample a misclassified image, if any was met; else the one of the largest margin max_other z - z_y.

        Samples that are misclassified already are returned as they are. ``erasing`` returns its one square.
        """
        if not len(x):
            return x.clone()
        with torch.inference_mode(False):
            found = x.clone()
            left = predict(model, x, y, self.eot)[1].nonzero().flatten()
            if len(left):
                found[left] = self.row.perturb(self, model, x[left], y[left], draws.take(left), len(x))
            return found

    def filling(self, x: torch.Tensor) -> torch.Tensor:
        """What hides pixels of ``x``: (N, C, 1, 1), or (1, 1, 1, 1) for a number."""
        return x.mean((2, 3), keepdim=True) if self.fill == "mean" else x.new_full((1, 1, 1, 1), self.fill)

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


def score(margin: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The margin, below 0 wherever the label is still the answer (a tie among them) and at least 0 elsewhere."""
    return torch.where(right, margin.clamp_max(-torch.finfo(margin.dtype).tiny), margin.clamp_min(0))


def _extent(touched: torch.Tensor) -> int:
    """The longest distance from the first to the last True of a row (N, L), both counted."""
    places = torch.arange(1, touched.shape[1] + 1)
    last = (touched * places).amax(1)
    first = torch.where(touched, places, touched.shape[1] + 1).amin(1)
    return int((last - first + 1).clamp_min(0).max())


def window(numbers: torch.Tensor, side: int, x: torch.Tensor) -> torch.Tensor:
    """Upper left corners (N, 2), every place alike, for two numbers per sample in [0, 1)."""
    room = torch.tensor([x.shape[2] - side, x.shape[3] - side], device=x.device)
    return torch.minimum((numbers * (room + 1)).long(), room)


def inside(corners: torch.Tensor, side: int, x: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W): which pixels lie in the square of ``side`` at each of ``corners`` (N, 2)."""
    rows = torch.arange(x.shape[2], device=x.device) - corners[:, :1]
    columns = torch.arange(x.shape[3], device=x.device) - corners[:, 1:]
    down, across = (rows >= 0) & (rows < side), (columns >= 0) & (columns < side)
    return (down[:, :, None] & across[:, None, :])[:, None]
