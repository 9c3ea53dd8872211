"""Orders in which training sees its samples: each from (seed, epoch) alone, so that a continued run repeats them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Sampler

from .errors import FeatmaskError

__all__ = ["PersonBatches", "Replays", "Shuffle"]


class Shuffle(Sampler[int]):
    """A permutation of the samples for every epoch, from (seed, epoch) alone.

    Args:
        length: how many samples there are.
        seed: of the permutations.

    Attributes:
        epoch: set it before each epoch.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed, self.epoch = length, seed, 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        yield from np.random.default_rng([self.seed, self.epoch]).permutation(self.length).tolist()


class Replays(Shuffle):
    """A shuffle in which each batch comes several times in a row (Shafahi et al. 2019), from (seed, epoch) alone.

    An epoch has as many batches as one of ``Shuffle``, up to a rounding to whole replays, and so costs the same; it
    shows a part of the samples only, and the next epoch goes on with the part after it. About ``replays`` epochs make a
    pass over all samples. As ever, a last batch that is not full is left out of a pass.

    Processes of a distributed job get batches in turn; here each of them meets all replays of its own batches.

    Args:
        length: how many samples there are.
        seed: of the permutations, one a pass.
        batch_size: of the batches that are made of these samples in their order.
        replays: how often a batch comes.

    Raises:
        FeatmaskError: fewer samples than a batch has.
    """

    def __init__(self, length: int, seed: int, batch_size: int, replays: int) -> None:
        super().__init__(length, seed)
        if length < batch_size:
            raise FeatmaskError(
                f"replays: expected at least one full batch of {batch_size}, got {length} samples; use smaller batches"
            )
        self.batch_size, self.replays = batch_size, replays
        self.batches = length // batch_size
        self.groups = max(1, round(self.batches / replays))

    def __len__(self) -> int:
        return self.groups * self.replays * self.batch_size

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.groups
        batches = [self._batch(number) for number in range(first, first + self.groups)]
        processes = _processes()
        for start in range(0, self.groups, processes):
            for _ in range(self.replays):
                for batch in batches[start : start + processes]:
                    yield from batch

    def _batch(self, number: int) -> list[int]:
        """A batch by its number from the first pass on."""
        number_of_pass, place = divmod(number, self.batches)
        shuffled = np.random.default_rng([self.seed, number_of_pass]).permutation(self.length)
        batch: list[int] = shuffled[place * self.batch_size : (place + 1) * self.batch_size].tolist()
        return batch


class PersonBatches(Sampler[list[int]]):
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
        batch_size: P K; this and ``drop_last`` (False) are what accelerate reads to give whole batches to processes.

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
                f"{len(names)}; show fewer persons a batch, and more images of each"
            )
        order = np.argsort(member, kind="stable")
        self.rows = np.split(order, np.cumsum(np.bincount(member))[:-1])
        self.length, self.persons, self.images = len(array), persons, images
        self.seed, self.epoch = seed, 0
        self.batch_size, self.drop_last = persons * images, False

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


def _processes() -> int:
    """How many processes train together."""
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
