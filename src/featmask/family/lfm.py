"""Local Feature Masking: a rectangle in each of some channels of some samples is overwritten; nothing is rescaled.

Meant for shallow layers, by default behind the first convolution, where it hides little (1.5 % of the values). In our
first study it gained nothing on clean images and little under attack (docs/study); an ablation there hints, on
three seeds, that dose and fill (p 1, noise) matter. It adds nothing to adversarial training, and cannot help where a
network underfits.
"""

import torch

from ..layers import LocalFeatureMasking
from ..masking.options import OPTIONS, TRIES
from ..masking.options import Options as Mask
from ..utils.option import Option, flag
from .base import Member, Options, Shape
from .rectangles import expected_area

#: What both layers take, and where it is searched for.
SHARED = {key: OPTIONS[key] for key in ("p", "channels", "area", "aspect")} | {
    "generator": Option(None, kind=torch.Generator, null="torch's own random numbers"),
    "inplace": flag(False),
}
SPACE = {
    "p": {"low": 0.05, "high": 1.0, "log": True},
    "channels": [0.1, 1.0],
    "area": {"low": 0.1, "high": 0.6, "from": 0.02},
}


def share(options: Options, shape: Shape) -> float:
    """A rectangle in each of the drawn channels, in a share p of the samples; its place does not matter."""
    drawn: float = Mask(channels=options["channels"]).count(shape[0]) / shape[0]
    area = expected_area(options["area"], options["aspect"], shape, tries=TRIES, log=False)
    return float(options["p"]) * drawn * area


MEMBER = Member(
    LocalFeatureMasking,
    "feature",
    "Gong et al. 2024, as described",
    __doc__,
    options=SHARED | {key: OPTIONS[key] for key in ("fill", "per", "place")},
    space=SPACE,
    share=share,
)
