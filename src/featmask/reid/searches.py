"""A data set's query and gallery as one model sees them: scored, and attacked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..evaluation import Evaluation, frozen
from ..models import Normalized
from ..utils.devices import pick_device
from .attacks import MetricAttack, MisRanking, train_misranking
from .evaluation import Described, attack_retrieval, describe, evaluate_retrieval
from .models import Descriptor
from .people import PeopleSplits, Side
from .recipe import ReidRecipe
from .sampling import PersonBatches


@dataclass
class Searches:
    """A data set's query and gallery as one model describes them, computed once for all suites."""

    recipe: ReidRecipe
    model: Normalized
    splits: PeopleSplits
    device: str

    def __post_init__(self) -> None:
        self.descriptor = Descriptor(self.model, flip=self.recipe.evaluate.flip)

    @property
    def where(self) -> torch.device:
        """Where to compute."""
        return torch.device(pick_device(self.device))

    @cached_property
    def described(self) -> tuple[Described, Described]:
        """Query and gallery with their features."""
        return self._describe(self.splits.query, "query"), self._describe(self.splits.gallery, "gallery")

    def score(self, suite: str, split: str = "test") -> Evaluation:
        """One suite without an attack."""
        settings = self.recipe.evaluate
        query, gallery = self.described
        return evaluate_retrieval(
            query,
            gallery,
            suite,
            average_precision=settings.average_precision,
            **settings.rerank.model_dump(),
            split=split,
            **self._notes_and_settings(),
        )

    def attack(
        self, attacks: list[MetricAttack | MisRanking], on: str, limit: int | None, pictures: str | None = None
    ) -> Evaluation:
        """One side attacked."""
        settings = self.recipe.evaluate
        return attack_retrieval(
            self.descriptor,
            *self.described,
            attacks,
            on=on,
            limit=limit,
            guides=settings.guides,
            average_precision=settings.average_precision,
            batch_size=settings.batch_size,
            device=self.where,
            pictures=pictures,
            **self._notes_and_settings(),
        )

    def _describe(self, side: Side, name: str) -> Described:
        return describe(
            self.descriptor,
            side,
            cameras=self.splits.has_cameras,
            batch_size=self.recipe.evaluate.batch_size,
            device=self.where,
            title=f"describing {name}",
        )

    def _notes_and_settings(self) -> dict[str, Any]:
        size = f"{self.recipe.data.height} x {self.recipe.data.width}"
        settings = {"data": self.splits.name, "size": size, "flip": self.recipe.evaluate.flip}
        return {"notes": self.splits.notes, "settings": {**settings, "features": "L2-normalised"}}


def attacks_of(
    recipe: ReidRecipe, searches: Searches, splits: PeopleSplits, device: str
) -> list[MetricAttack | MisRanking]:
    """Every kind at every size; a Mis-Ranking generator is trained for each of its sizes, on the training part."""
    settings = recipe.evaluate
    return [
        _misranking(recipe, searches, splits, eps, device)
        if kind == "misranking"
        else MetricAttack(kind, eps, steps=settings.steps, norm=settings.norm)
        for kind in settings.attacks
        for eps in map(Fraction, settings.eps)
    ]


def _misranking(recipe: ReidRecipe, searches: Searches, splits: PeopleSplits, eps: Fraction, device: str) -> MisRanking:
    persons, images = recipe.train.persons or 8, recipe.train.images_per_person or 4
    train, where = splits.train.load().with_augment(None), torch.device(pick_device(device))
    order = PersonBatches(train.labels, min(persons, splits.num_ids), images, 0)
    with frozen(searches.descriptor, where):
        batches = _batches(DataLoader(train, batch_sampler=order), order, where)
        return train_misranking(searches.descriptor, batches, eps=eps, steps=recipe.evaluate.misranking_steps)


def _batches(
    loader: DataLoader[Any], order: PersonBatches, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Pixels and persons of a loader's batches, on a device, in another order at every pass, without end."""
    while True:
        for pixels, labels, _, _ in loader:
            yield pixels.to(device), labels.to(device)
        order.epoch += 1
