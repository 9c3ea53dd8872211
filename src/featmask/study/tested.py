"""Test samples as pictures ask for them: an image and a name by index, what a model answered, and what it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..records.run import Run

Indices = npt.NDArray[np.int64]
#: Pixels (N, C, H, W) -> what is explained of each, (N,).
Score = Callable[[torch.Tensor], torch.Tensor]
CLEAN = "clean"


class Tested(Protocol):
    """Test images of one task; an index is that of the per-sample records."""

    #: What a caption calls the samples, and the score that is explained.
    samples: str
    explained: str
    #: Of the records: right or wrong, and how well.
    hit: str
    score_column: str

    def images(self, indices: Indices) -> list[torch.Tensor]:
        """(C, H, W) each, in [0, 1]."""

    def names(self, indices: Indices) -> list[str]:
        """What is true of each."""

    def answer(self, run: Run, row: int) -> str:
        """What a run's model said to the sample in a row of its clean record."""

    def score(self, model: nn.Module, indices: Indices, device: torch.device) -> Score:
        """What is explained of these samples; the caller has the model in eval mode."""
