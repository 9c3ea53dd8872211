"""Test samples as pictures ask for them: an image and a name by index, what a model answered, and what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..data import Images, PeopleSplits
from ..errors import FeatmaskError
from ..models import Descriptor
from ..results import Run
from ..tasks import Task
from ..tasks.classification import Classification
from ..tasks.reid import Reid

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


def open_tested(task: Task) -> Tested:
    """The test part of a task.

    Raises:
        FeatmaskError: a task of another field.
    """
    if isinstance(task, Classification):
        return _Classes(task.splits.test, task.splits.classes)
    if isinstance(task, Reid):
        return _Persons(task.splits)
    raise FeatmaskError(f"no pictures are known for a task of the type {type(task).__name__}")


class _Classes:
    """Images and their classes."""

    samples, explained = "test images", "the true class's logit"
    hit = score_column = "correct"

    def __init__(self, test: Images, classes: Sequence[str]) -> None:
        self.test, self.classes = test, classes
        self.places = {int(row): place for place, row in enumerate(test.rows)}

    def images(self, indices: Indices) -> list[torch.Tensor]:
        return [self.test[self.places[int(index)]].image for index in indices]

    def names(self, indices: Indices) -> list[str]:
        return [self.classes[label] for label in self._labels(indices)]

    def answer(self, run: Run, row: int) -> str:
        return self.classes[int(run.samples[CLEAN]["predicted"][row])]

    def score(self, model: nn.Module, indices: Indices, device: torch.device) -> Score:
        labels = torch.tensor(self._labels(indices), device=device)
        return lambda pixels: cast(torch.Tensor, model(pixels)).gather(1, labels[:, None])[:, 0]

    def _labels(self, indices: Indices) -> list[int]:
        return [self.test[self.places[int(index)]].label for index in indices]


class _Persons:
    """Queries, and the persons on them."""

    samples = "queries"
    explained = "the similarity to the first gallery image of the same person"
    hit, score_column = "rank1", "ap"

    def __init__(self, splits: PeopleSplits) -> None:
        self.splits = splits

    def images(self, indices: Indices) -> list[torch.Tensor]:
        return [self.splits.query.photos[int(index)].image for index in indices]

    def names(self, indices: Indices) -> list[str]:
        query = self.splits.query
        cameras = [f", camera {query.cams[index]}" if self.splits.has_cameras else "" for index in indices]
        return [f"id {query.pids[index]}{camera}" for index, camera in zip(indices, cameras, strict=True)]

    def answer(self, run: Run, row: int) -> str:
        return f"AP {100 * run.samples[CLEAN]['ap'][row]:.1f}"

    def score(self, model: nn.Module, indices: Indices, device: torch.device) -> Score:
        # without the mirror image: a layer would run twice, and its maps of the mirror image would be kept
        descriptor = Descriptor(model)
        matches = torch.stack([self.splits.gallery.photos[self._match(int(index))].image for index in indices])
        with torch.no_grad():
            wanted = descriptor(matches.to(device))
        return lambda pixels: (descriptor(pixels) * wanted).sum(1)

    def _match(self, index: int) -> int:
        """The first gallery image that scoring counts as right for a query; recorded queries have one."""
        query, gallery = self.splits.query, self.splits.gallery
        same = gallery.pids == query.pids[index]
        if self.splits.has_cameras:
            same &= gallery.cams != query.cams[index]
        return int(np.flatnonzero(same)[0])
