"""Dropout: each value of the maps is zeroed by a coin of its own, the rest scaled by 1 / (1 - p).

Neighbours in a feature map say nearly the same: what is hidden at one position is told by the next. So it regularises
little behind convolutions (ResNet-50 on ImageNet 76.51 -> 76.80, as Ghiasi et al. 2018 report). It is the control that
says whether hiding *connected* regions matters. It shifts the variance that a following batch norm estimates (Li et al.
2019).
"""

from torch import nn

from ..utils.option import Option, flag
from .base import RATE, Member

MEMBER = Member(
    nn.Dropout,
    "feature",
    "Srivastava et al. 2014",
    __doc__,
    options={"p": Option(0.1, high=1.0), "inplace": flag(False)},
    space={"p": RATE},
    share=lambda options, shape: float(options["p"]),
)
