"""Orders in which training sees its samples: each from (seed, epoch) alone, so that a continued run repeats them.

So is what is random about a sample: every place of an epoch has a seed of its own, for the augmentation of what stands
there. A recipe therefore means the same in one process and in many, and with any number of workers that load data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler

from ..errors import FeatmaskError

__all__ = ["PersonBatches", "Place", "Replays", "Seeded", "Shares", "Shuffle"]

#: A sample, and the seed of what is random about it: (row, seed).
Place = tuple[int, int]


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
        for number in range(first, first + self.groups):
            batch = self._batch(number)
            for _ in range(self.replays):
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
                f"{len(names)}; show fewer persons a batch, and more images of each"
            )
        order = np.argsort(member, kind="stable")
        self.rows = np.split(order, np.cumsum(np.bincount(member))[:-1])
        self.length, self.persons, self.images = len(array), persons, images
        self.seed, self.epoch = seed, 0
        self.batch_size = persons * images

    def __len__(self) -> int:
        return math.ceil(self.length / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        people = _Deck(np.arange(len(self.rows)), rng)
        pictures = [_Deck(rows, rng) for rows in self.rows]
        for _ in range(len(self)):
            yield [row for person in people.deal(self.persons) for row in pictures[person].deal(self.images)]


class Shares(Sampler[list[Place]]):
    """Batches of an order, cut into equal parts for the processes that train together: a batch sampler.

    A batch is the recipe's, whatever the number of processes: each gets a piece of it, in the order of the processes. A
    piece of a batch of persons holds whole persons. A last batch that is not full is left out, unless it is the only
    one (BatchNorm breaks on a batch of one image).

    Args:
        order: of the samples, or whole batches of them.
        batch_size: samples a batch; of whole batches it is known.
        process: this process, from 0.
        processes: how many there are.

    Raises:
        FeatmaskError: processes that would get parts of different sizes, or fewer than two images (persons) each.
    """

    def __init__(self, order: Shuffle | PersonBatches, batch_size: int, process: int = 0, processes: int = 1) -> None:
        self.order, self.process, self.processes = order, process, processes
        self.batch_size = order.batch_size if isinstance(order, PersonBatches) else min(batch_size, len(order))
        if processes > 1:
            self._check()

    def __len__(self) -> int:
        return len(self.order) if isinstance(self.order, PersonBatches) else len(self.order) // self.batch_size

    def __iter__(self) -> Iterator[list[Place]]:
        # the third number keeps these apart from what the order draws
        rng = np.random.default_rng([self.order.seed, self.order.epoch, 1])
        part = self.batch_size // self.processes
        mine = slice(self.process * part, (self.process + 1) * part)
        for batch in self._batches():
            seeds = rng.integers(2**32, size=self.batch_size)
            yield list(zip(batch[mine], seeds[mine].tolist(), strict=True))

    def _batches(self) -> Iterator[list[int]]:
        if isinstance(self.order, PersonBatches):
            yield from self.order
            return
        rows = list(self.order)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield rows[start : start + self.batch_size]

    def _check(self) -> None:
        images = self.order.images if isinstance(self.order, PersonBatches) else 1
        parts, left = divmod(self.batch_size // images, self.processes)
        if left or parts < 2:
            what = f"{self.batch_size // images} persons" if images > 1 else f"{self.batch_size} images"
            step = self.processes * images
            raise FeatmaskError(
                f"train.batch_size: {self.processes} processes cannot share a batch of {what} out equally, 2 or more "
                f"each; set it to a multiple of {step} from {2 * step} on, no more than there is data for, or start "
                "fewer processes"
            )


class Seeded(Dataset[Any]):
    """Samples by (row, seed): what is random about one comes from its seed, and leaves other random numbers alone.

    Args:
        data: samples by row, augmented by torch's global random numbers on the CPU, if at all.
    """

    def __init__(self, data: Dataset[Any]) -> None:
        self.data = data

    def __getitem__(self, place: Place) -> Any:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[Place]) -> list[Any]:
        """A batch at once, as torch's loader asks for it."""
        before, found = torch.get_rng_state(), []
        try:
            for row, seed in places:
                torch.default_generator.manual_seed(seed)
                found.append(self.data[row])
        finally:
            torch.set_rng_state(before)
        return found


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
