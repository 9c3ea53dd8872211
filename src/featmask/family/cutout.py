"""Cutout: a square of fixed size is cut out of the image.

Known to help small images (CIFAR-10, CIFAR-100), where the best size depends on the data; next to nothing on ImageNet
(ResNet-50: 76.51 -> 76.52, Ghiasi et al. 2018). In our first study it cost about a point of clean accuracy and did most
under attack of all members (docs/study). Unlike in the paper the square lies whole inside the image.
"""

from torch import nn

from ..utils.option import Option
from .base import Member, Options, Shape
from .random_erasing import RandomErasing
from .random_erasing import share as erased


def build(p: float, area: float) -> nn.Module:
    """A square that is placed as random erasing places its rectangle."""
    return RandomErasing(p, scale=(area, area), ratio=(1.0, 1.0))


def share(options: Options, shape: Shape) -> float:
    """The square's own, unless it is as large as the image: then torchvision erases nothing."""
    area = options["area"]
    return erased({"p": options["p"], "scale": (area, area), "ratio": (1.0, 1.0)}, shape)


MEMBER = Member(
    build,
    "input",
    "DeVries and Taylor 2017",
    __doc__,
    options={"p": Option(1.0, high=1.0), "area": Option(0.25, high=1.0)},
    space={"area": [0.05, 0.4]},
    share=share,
)
