"""Batches of persons: what metric losses compare."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import FeatmaskError
from ..training.sampling import Batches


class PersonBatches(Batches):
    """Batches of P persons with K images each (Hermans et al. 2017), from (seed, epoch) alone: a batch sampler.

    Persons are dealt from a shuffled deck of all of them, so that each comes up as often as any other, up to once; none
    comes twice in a batch. A person's images are dealt from a deck of their own, which is shuffled anew only when all
    of them were shown; a person with fewer than K images shows some repeatedly.

    Every batch is full. An epoch has ceil(N / (P K)) of them, as many as a pass over the images would have; persons
    with many images do not show all of them in each epoch.

    Args:
        labels: (N,) integer identities of the samples.
        persons: P, 2 or more.
        images: K, 2 or more.
        seed: of everything drawn.

    Attributes:
        epoch: set it before each epoch.
        batch_size: P K.

    Raises:
        FeatmaskError: labels that are no list of integers, P or K below 2, or fewer than P identities.
    """

    def __init__(
        self, labels: torch.Tensor | npt.NDArray[Any] | Sequence[int], persons: int, images: int, seed: int
    ) -> None:
        array = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
        if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
            raise FeatmaskError(
                f"batches of persons: expected identities as a list of integers, got {array.dtype} {array.shape}"
            )
        if persons < 2 or images < 2:
            raise FeatmaskError(
                f"batches of persons: expected 2 or more persons and 2 or more images of each, got {persons} and "
                f"{images}; metric losses compare images of one person, and of two"
            )
        names, member = np.unique(array, return_inverse=True)
        if len(names) < persons:
            raise FeatmaskError(
                f"batches of persons: expected at least {persons} identities, as many as a batch shows, got "
                f"{len(names)}; show fewer persons per batch, and more images of each"
            )
        order = np.argsort(member, kind="stable")
        self.rows = np.split(order, np.cumsum(np.bincount(member))[:-1])
        self.length, self.persons, self.images = len(array), persons, images
        self.seed, self.epoch = seed, 0
        self.batch_size, self.group, self.unit = persons * images, images, "persons"

    def __len__(self) -> int:
        return math.ceil(self.length / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        people = _Deck(np.arange(len(self.rows)), rng)
        pictures = [_Deck(rows, rng) for rows in self.rows]
        for _ in range(len(self)):
            yield [row for person in people.deal(self.persons) for row in pictures[person].deal(self.images)]


class _Deck:
    """Cards in random order; shuffled anew when the last one was dealt."""

    def __init__(self, cards: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
        self.cards, self.rng = cards, rng
        self.left: list[int] = []

    def deal(self, count: int) -> list[int]:
        """Deal cards that all differ, or, if there are too few, as evenly repeated as can be."""
        if count > len(self.cards):
            return self.deal(len(self.cards)) + self.deal(count - len(self.cards))
        hand, self.left = self.left[:count], self.left[count:]
        if len(hand) < count:
            fresh: list[int] = self.rng.permutation(self.cards).tolist()
            # what the hand holds already stays for later: nothing twice in a hand, nothing lost from the deck
            added = [card for card in fresh if card not in hand][: count - len(hand)]
            hand, self.left = hand + added, [card for card in fresh if card not in added]
        return hand
