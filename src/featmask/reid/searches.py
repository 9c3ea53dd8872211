"""A data set's query and gallery as one model sees them: scored, and attacked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
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
        self.sides: tuple[Described, Described] | None = None

    @property
    def where(self) -> torch.device:
        """Where to compute."""
        return torch.device(pick_device(self.device))

    def described(self) -> tuple[Described, Described]:
        """Query and gallery with their features."""
        if self.sides is None:
            query, gallery = self.splits.query, self.splits.gallery
            self.sides = self._describe(query, "query"), self._describe(gallery, "gallery")
        return self.sides

    def score(self, suite: str, split: str = "test") -> Evaluation:
        """One suite without an attack."""
        settings = self.recipe.evaluate
        query, gallery = self.described()
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
        query, gallery = self.described()
        return attack_retrieval(
            self.descriptor,
            query,
            gallery,
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
        data = self.recipe.data
        settings = {
            "data": self.splits.name,
            "size": f"{data.height} x {data.width}",
            "flip": self.recipe.evaluate.flip,
            "features": "L2-normalised",
        }
        return {"notes": self.splits.notes, "settings": settings}


def attacks_of(
    recipe: ReidRecipe, searches: Searches, splits: PeopleSplits, device: str
) -> list[MetricAttack | MisRanking]:
    """Every kind at every size; a Mis-Ranking generator is trained for each of its sizes, on the training part."""
    settings, found = recipe.evaluate, list[MetricAttack | MisRanking]()
    for kind in settings.attacks:
        for eps in map(Fraction, settings.eps):
            if kind == "misranking":
                found.append(_misranking(recipe, searches, splits, eps, device))
            else:
                found.append(MetricAttack(kind, eps, steps=settings.steps, norm=settings.norm))
    return found


def _misranking(recipe: ReidRecipe, searches: Searches, splits: PeopleSplits, eps: Fraction, device: str) -> MisRanking:
    persons, images = recipe.train.persons or 8, recipe.train.images_per_person or 4
    train, where = splits.train.load().with_augment(None), torch.device(pick_device(device))
    order = PersonBatches(train.labels, min(persons, splits.num_ids), images, 0)
    loader = DataLoader(train, batch_sampler=order)
    with frozen(searches.descriptor, where):
        return train_misranking(
            searches.descriptor, _Moved(loader, order, where), eps=eps, steps=recipe.evaluate.misranking_steps
        )


class _Moved:
    """Pixels and persons of a loader's batches, on a device, in another order at every pass."""

    def __init__(self, loader: DataLoader[Any], order: PersonBatches, device: torch.device) -> None:
        self.loader, self.order, self.device = loader, order, device

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for pixels, labels, _, _ in self.loader:
            yield pixels.to(self.device), labels.to(self.device)
        self.order.epoch += 1
