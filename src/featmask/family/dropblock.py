"""DropBlock: squares of each channel are zeroed, the rest scaled up; torchvision's layer.

Made for the deep groups of a network, with p rising linearly over training (a recipe's ``schedule``): ResNet-50 on
ImageNet 76.51 -> 78.13 in the paper, less in others' hands (torchvision's issue 5416: 76.13 -> 77.06). Squares overlap,
so that it drops less than p. Maps smaller than a block lose whole planes; it fails on those whose shorter side is even.
"""

import numpy as np
from torch import nn

from ..errors import require
from ..utils.option import Option
from .base import RATE, Member, Options, Shape


def build(p: float, block_size: int) -> nn.Module:
    """torchvision's layer."""
    layer: nn.Module = require("torchvision.ops", "train").DropBlock2d(p, block_size)
    return layer


def share(options: Options, shape: Shape) -> float:
    """A value is dropped if any of the blocks that cover it is drawn; blocks are drawn independently."""
    _, height, width = shape
    side = min(options["block_size"], height, width)
    starts = height - side + 1, width - side + 1
    drawn = options["p"] * height * width / (side**2 * starts[0] * starts[1])
    rows, columns = (np.convolve(np.ones(count), np.ones(side)) for count in starts)  # blocks that cover a position
    return float(np.mean(1 - (1 - drawn) ** np.outer(rows, columns)))


MEMBER = Member(
    build,
    "feature",
    "Ghiasi et al. 2018",
    __doc__,
    options={"p": Option(0.1, high=1.0), "block_size": Option(7, low=1, kind=int, odd=True)},
    space={"p": RATE, "block_size": {"choices": [3, 5, 7]}},
    share=share,
)
