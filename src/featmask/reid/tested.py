"""Queries for pictures: image and name by index, what a model answered, and the score that is explained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..records.names import CLEAN
from ..records.run import Run
from .models import Descriptor
from .people import PeopleSplits

Indices = npt.NDArray[np.int64]


class TestedQueries:
    """Queries, and the persons on them; see :class:`featmask.study.task.Tested`."""

    samples = "queries"
    explained = "the similarity to the first gallery image of the same person"
    hit, score_column = "rank1", "ap"

    def __init__(self, splits: PeopleSplits) -> None:
        self.splits = splits

    def images(self, indices: Indices) -> list[torch.Tensor]:
        """(C, H, W) each, in [0, 1]."""
        return [self.splits.query.photos[int(index)].image for index in indices]

    def names(self, indices: Indices) -> list[str]:
        """Person and camera of each."""
        query = self.splits.query
        cameras = [f", camera {query.cams[index]}" if self.splits.has_cameras else "" for index in indices]
        return [f"id {query.pids[index]}{camera}" for index, camera in zip(indices, cameras, strict=True)]

    def answer(self, run: Run, row: int) -> str:
        """What a run's model said to the sample in a row of its clean record."""
        return f"AP {100 * run.samples[CLEAN]['ap'][row]:.1f}"

    def score(self, model: nn.Module, indices: Indices, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
        """What is explained of these samples; the caller has the model in eval mode."""
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
