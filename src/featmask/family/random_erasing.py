"""Random erasing: one rectangle of the image is overwritten; torchvision's transform, each sample for itself.

Known to help: CIFAR-100, error 30.84 -> 29.97; persons of Market-1501, +4.1 points of mAP (Zhong et al. 2017). So it
can serve as a positive control. Small objects may be hidden whole. It acts on the normalised image: the value 0 is the
data's mean colour.
"""

import torch
from torch import nn

from ..errors import require
from ..masking.options import Range
from ..utils.option import Option
from .base import Member, Options, Shape
from .rectangles import expected_area

#: Tries of torchvision for a rectangle that fits.
TRIES = 10


class RandomErasing(nn.Module):
    """torchvision's ``RandomErasing`` on a batch: each sample decides for itself. Input (N, C, H, W).

    Sources: Zhong et al. 2017 (random erasing), DeVries & Taylor 2017 (Cutout: a square of fixed size).
    """

    def __init__(
        self, p: float = 0.5, scale: Range = (0.02, 0.33), ratio: Range = (0.3, 3.3), value: float | str = 0.0
    ) -> None:
        super().__init__()
        transforms = require("torchvision.transforms", "train")
        self.erase = transforms.RandomErasing(p, tuple(scale), tuple(ratio), value)

    @property
    def p(self) -> float:
        """Probability that a sample is erased; may be set between steps, for a schedule."""
        return float(self.erase.p)

    @p.setter
    def p(self, value: float) -> None:
        self.erase.p = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Erase one rectangle in some of the samples while training."""
        return torch.stack([self.erase(sample) for sample in x]) if self.training and len(x) else x


def share(options: Options, shape: Shape) -> float:
    """One rectangle through all channels, in a share p of the samples."""
    area = expected_area(options["scale"], options["ratio"], shape, tries=TRIES, log=True)
    return float(options["p"]) * area


MEMBER = Member(
    RandomErasing,
    "input",
    "Zhong et al. 2017",
    __doc__,
    options={
        "p": Option(0.5, high=1.0),
        "scale": Option((0.02, 0.33), high=1.0, pair=True),
        "ratio": Option((0.3, 3.3), above=True, pair=True),
        "value": Option(0.0, low=float("-inf"), words=("random",)),
    },
    space={"p": [0.1, 1.0]},
    share=share,
)
