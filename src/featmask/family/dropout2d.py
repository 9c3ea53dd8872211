"""SpatialDropout: whole channels are zeroed, the rest scaled by 1 / (1 - p).

Made for networks whose neighbouring positions carry the same evidence, which dropout alone does not hide; ResNet-50 on
ImageNet 76.51 -> 77.41 (Ghiasi et al. 2018). A narrow layer loses much with each channel: behind the first convolution
of our small networks it made them easier to fool (docs/study).
"""

from torch import nn

from ..utils.option import Option, flag
from .base import RATE, Member

MEMBER = Member(
    nn.Dropout2d,
    "feature",
    "Tompson et al. 2015 (SpatialDropout)",
    __doc__,
    options={"p": Option(0.1, high=1.0), "inplace": flag(False)},
    space={"p": RATE},
    share=lambda options, shape: float(options["p"]),
)
