"""What an experiment asks of its field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from ..evaluation import Evaluation
from ..models import Normalized
from ..recipe import AnyRecipe
from ..training import Lesson


class Task(Protocol):
    """One field with its data open. A recipe is passed along, since a method may change it; never its data."""

    def model(self, recipe: AnyRecipe) -> Normalized:
        """A new model, normalisation inside; the caller has seeded the random numbers."""

    def lesson(self, recipe: AnyRecipe, model: Normalized, seed: int) -> Lesson:
        """What the model is taught."""

    def about(self) -> dict[str, Any]:
        """What a checkpoint must remember of the data to build the model again, as JSON values."""

    def size(self, recipe: AnyRecipe) -> tuple[int, int]:
        """Height and width of the images."""

    def pictures(self, count: int) -> torch.Tensor:
        """Some images (count, C, H, W) in [0, 1] that are neither trained on nor tested on, if there are such."""

    def rankings(self, recipe: AnyRecipe, models: Mapping[str, Normalized], path: Path, device: str) -> str:
        """Draw what models find, each by its title, and give the caption; nothing where nothing is searched."""

    def measure(
        self, recipe: AnyRecipe, model: Normalized, device: str, limit: int | None = None, folder: Path | None = None
    ) -> Iterator[Evaluation]:
        """The recipe's suites, one after the other.

        Args:
            recipe: says which.
            model: of this task.
            device: where to compute.
            limit: only so many test images, or queries of an attack.
            folder: gets each suite's record when it is measured; a suite that can be gone on with keeps there what is
                measured so far.
        """
