"""What can be asked of the mask, checked once and in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ..errors import FeatmaskError
from ..utils.option import Option

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
        for name, option in OPTIONS.items():
            value = getattr(self, name)
            if not option.allows(value):
                raise FeatmaskError(f"{name}: expected {option}; got {value!r}")
        if self.published and self.place != "random":
            raise FeatmaskError(f"place: the authors' code knows 'random' alone, got {self.place!r}")

    def count(self, channels: int) -> int:
        """How many of ``channels`` are drawn: the rounded share, and at least one."""
        return max(1, round(self.channels * int(channels)))  # under torch.jit.trace a size is a tensor


#: The defaults, and what is allowed; a recipe's options are checked against the same.
OPTIONS = {
    "p": Option(Options.p, high=1.0),
    "channels": Option(Options.channels, high=1.0, above=True),
    "area": Option(Options.area, high=1.0, above=True, pair=True),
    "aspect": Option(Options.aspect, above=True, pair=True),
    "fill": Option(Options.fill, low=-math.inf, words=get_args(FillName)),
    "per": Option(Options.per, kind=(), words=get_args(Per)),
    "place": Option(Options.place, kind=(), words=get_args(Place)),
    "first": Option(Options.first, low=1, kind=int, null="all samples"),
}


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
