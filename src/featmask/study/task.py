"""What an experiment asks of its field: a task with its data open, and its test samples as pictures show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..evaluation import Evaluation
from ..models import Normalized
from ..recipe import Recipe
from ..records.checkpoint import Header
from ..records.run import Run
from ..training import TrainingTask

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


R_contra = TypeVar("R_contra", bound=Recipe, contravariant=True)


class Task(Protocol[R_contra]):
    """One field with its data open. A recipe is passed along, since a method may change it; never its data."""

    def model(self, recipe: R_contra) -> Normalized:
        """A new model, normalisation inside; the caller has seeded the random numbers."""

    def training_task(self, recipe: R_contra, model: Normalized, seed: int) -> TrainingTask:
        """What the model learns from, and how to measure whether it did."""

    def about(self) -> dict[str, Any]:
        """What a checkpoint's header must remember of the data to build the model again."""

    def size(self, recipe: R_contra) -> tuple[int, int]:
        """Height and width of the images."""

    def pictures(self, count: int) -> torch.Tensor:
        """Some images (count, C, H, W) in [0, 1] that are neither trained on nor tested on, if there are such."""

    def rankings(self, recipe: R_contra, models: Mapping[str, Normalized], path: Path, device: str) -> str:
        """Draw what models find, each by its title, and give the caption; nothing where nothing is searched."""

    def tested(self) -> Tested:
        """The test part, as pictures show it."""

    def passes(self, recipe: R_contra) -> tuple[float, float]:
        """How many images pass forward while the recipe's suites are measured, and how many forward and backward."""

    def check(self, header: Header, source: str) -> None:
        """Refuse a checkpoint that was trained on other data than these.

        Raises:
            FeatmaskError: its header differs.
        """

    def measure(
        self,
        recipe: R_contra,
        model: Any,
        device: str,
        limit: int | None = None,
        folder: Path | None = None,
        **asked: Any,
    ) -> Iterator[Evaluation]:
        """The recipe's suites, one after the other.

        Args:
            recipe, device: which suites, and where to compute.
            model: of this task: pixels in [0, 1] -> logits or features.
            limit: only so many test images, or queries of an attack.
            folder: gets each suite's record when it is measured; a suite that can be gone on with keeps there what is
                measured so far.
            asked: more, by the names that the field's own options of the verb ``evaluate`` have.
        """


#: Of whichever field.
AnyTask = Task[Any]
