"""What can be asked of the mask, checked once and in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ..errors import FeatmaskError

FillName = Literal["uniform", "zero", "mean", "noise"]
Fill = FillName | float
Per = Literal["sample", "batch"]
Place = Literal["random", "strongest"]
Range = tuple[float, float]

#: Bits of a number in [0, 1) that each type holds exactly.
BITS = {torch.float32: 24, torch.float64: 53, torch.float16: 11, torch.bfloat16: 8}
DTYPES = tuple(BITS)
#: Tries for a rectangle that fits before a channel is left alone. A try fits with probability 0.94 on 128 x 64 maps.
TRIES = 10
#: The authors' code tries this often (and crashes when no try fits; here the draw masks nothing).
PUBLISHED_TRIES = 100


@dataclass(frozen=True)
class Options:
    """The settings of a mask; see :func:`featmask.functional.local_feature_masking` for their meaning.

    ``published`` switches to the authors' code in distribution, where ``per`` is always the batch and ``first`` is the
    number of leading samples that are masked (None: all).
    """

    p: float = 0.15
    channels: float = 0.5
    area: Range = (0.02, 0.4)
    aspect: Range = (0.3, 1 / 0.3)
    fill: Fill = "uniform"
    per: Per = "sample"
    place: Place = "random"
    published: bool = False
    first: int | None = None

    def __post_init__(self) -> None:
        _number("p", self.p, 0.0, 1.0, "a probability")
        _number("channels", self.channels, 0.0, 1.0, "a share of the channels", open_low=True)
        _range("area", self.area, 1.0, "shares of the map's area, such as (0.02, 0.4)")
        _range("aspect", self.aspect, math.inf, "ratios height / width, such as (0.3, 3.3)")
        if isinstance(self.fill, str):
            if self.fill not in get_args(FillName):
                raise FeatmaskError(f"fill: expected one of {get_args(FillName)} or a number, got {self.fill!r}")
        elif isinstance(self.fill, bool) or not isinstance(self.fill, (int, float)) or math.isnan(self.fill):
            raise FeatmaskError(f"fill: expected one of {get_args(FillName)} or a number, got {self.fill!r}")
        for name, kinds in (("per", Per), ("place", Place)):
            if getattr(self, name) not in get_args(kinds):
                raise FeatmaskError(f"{name}: expected one of {get_args(kinds)}, got {getattr(self, name)!r}")
        if self.published and self.place != "random":
            raise FeatmaskError(f"place: the authors' code knows 'random' alone, got {self.place!r}")
        if self.first is not None and (type(self.first) is not int or self.first < 1):
            raise FeatmaskError(f"first: expected a number of samples from 1 up, or None for all; got {self.first!r}")

    def count(self, channels: int) -> int:
        """How many of ``channels`` are drawn: the rounded share, and at least one."""
        return max(1, round(self.channels * int(channels)))  # under torch.jit.trace a size is a tensor


def check_input(x: torch.Tensor) -> None:
    """Refuse what is not an N x C x H x W tensor of floating-point numbers."""
    if not isinstance(x, torch.Tensor):
        raise FeatmaskError(f"expected a tensor of shape N x C x H x W, got {type(x).__name__}")
    if x.dim() != 4:
        raise FeatmaskError(
            f"expected feature maps of shape N x C x H x W (4 dimensions), got {x.dim()} with shape {tuple(x.shape)}; "
            "attach the mask where the model still has maps, for example at='stem'"
        )
    if x.dtype not in DTYPES:
        raise FeatmaskError(f"expected float32, float64, float16 or bfloat16, got {x.dtype}")


def _number(name: str, value: object, low: float, high: float, what: str, open_low: bool = False) -> None:
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    if not ok or (open_low and value == low):
        raise FeatmaskError(f"{name}: expected {what} in {'(' if open_low else '['}{low:g}, {high:g}], got {value!r}")


def _range(name: str, value: object, high: float, what: str) -> None:
    ok = (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in value)
        and 0 < value[0] <= value[1] <= high
    )
    if not ok:
        raise FeatmaskError(f"{name}: expected (low, high) with 0 < low <= high, {what}; got {value!r}")
