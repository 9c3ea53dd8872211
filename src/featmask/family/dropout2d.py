"""SpatialDropout: whole channels are zeroed, the rest scaled by 1 / (1 - p).

Made for networks whose neighbouring positions carry the same evidence, which dropout alone does not hide; ResNet-50 on
ImageNet 76.51 -> 77.41 (Ghiasi et al. 2018). A narrow layer loses much with each channel: behind the first convolution
of our small networks it made them easier to fool (docs/study).
"""

from dataclasses import replace

from torch import nn

from .dropout import MEMBER as DROPOUT

MEMBER = replace(DROPOUT, build=nn.Dropout2d, source="Tompson et al. 2015 (SpatialDropout)", card=__doc__)
