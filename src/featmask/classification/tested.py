"""Test images as pictures ask for them: an image and a name by index, what a model answered, and what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..data import Images
from ..records.run import Run

Indices = npt.NDArray[np.int64]
Score = Callable[[torch.Tensor], torch.Tensor]
CLEAN = "clean"


class TestedImages:
    """Test images and their classes; see :class:`featmask.study.task.Tested`."""

    samples, explained = "test images", "the true class's logit"
    hit = score_column = "correct"

    def __init__(self, test: Images, classes: Sequence[str]) -> None:
        self.test, self.classes = test, classes
        self.places = {int(row): place for place, row in enumerate(test.rows)}

    def images(self, indices: Indices) -> list[torch.Tensor]:
        """(C, H, W) each, in [0, 1]."""
        return [self.test[self.places[int(index)]].image for index in indices]

    def names(self, indices: Indices) -> list[str]:
        """The true class of each."""
        return [self.classes[label] for label in self._labels(indices)]

    def answer(self, run: Run, row: int) -> str:
        """What a run's model said to the sample in a row of its clean record."""
        return self.classes[int(run.samples[CLEAN]["predicted"][row])]

    def score(self, model: nn.Module, indices: Indices, device: torch.device) -> Score:
        """What is explained of these samples; the caller has the model in eval mode."""
        labels = torch.tensor(self._labels(indices), device=device)
        return lambda pixels: cast(torch.Tensor, model(pixels)).gather(1, labels[:, None])[:, 0]

    def _labels(self, indices: Indices) -> list[int]:
        return [self.test[self.places[int(index)]].label for index in indices]
