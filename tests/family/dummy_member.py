"""Row dropout: whole rows of all of a sample's maps are zeroed, the rest left as it is.

This is the example of how a member joins the family: a file like this one in ``src/featmask/family/`` (with relative
imports) and its name in ``FILES`` of ``registry.py``. Its docstring is the card: what the regulariser does, where it is
known to help (here: nowhere), and where it fails (here: on maps of one row). Every test of ``test_every_member.py``
then holds for it, and any recipe can name it.
"""

from __future__ import annotations

import torch
from torch import nn

from featmask.family.base import RATE, Member
from featmask.utils.option import Option


class RowDropout(nn.Module):
    """No parameters; takes and returns (N, C, H, W); random in training mode, the identity in eval mode."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p  # read in every forward: a recipe's ``schedule`` sets it between steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Zero some rows; what is dropped gets no gradient."""
        if not self.training:
            return x
        dropped = torch.rand(len(x), 1, x.shape[2], 1, device=x.device) < self.p
        return x.masked_fill(dropped, 0.0)


MEMBER = Member(
    RowDropout,
    "feature",  # goes where the recipe says; "input": always on the image
    "an example",
    __doc__,
    options={"p": Option(0.2, low=0.0, high=1.0)},  # checked when a recipe is read
    space={"p": RATE},  # where ``compare --tune`` looks
    share=lambda options, shape: options["p"],  # of all values; leave it out where there is no closed form
)
