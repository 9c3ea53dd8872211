"""Orders in which training sees its samples: each from (seed, epoch) alone, so that a continued run repeats them.

So is what is random about a sample: every place of an epoch has a seed of its own, for the augmentation of what stands
there. A recipe therefore means the same in one process and in many, and with any number of workers that load data.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from ..errors import FeatmaskError

#: A sample, and the seed of what is random about it: (row, seed).
Place = tuple[int, int]


class Shuffle(Sampler[int]):
    """A permutation of ``length`` samples for every epoch, from (seed, epoch) alone; set ``epoch`` before each."""

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
        length, seed: as of ``Shuffle``; a permutation per pass.
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


class Batches(Sampler[list[int]]):
    """An order of whole batches, each as large as any other.

    Attributes:
        batch_size: samples per batch.
        group: so many neighbours in a batch belong together: no two processes share them out.
        unit: what a group is called in messages.
        seed: of everything drawn.
        epoch: set it before each epoch.
    """

    batch_size: int
    group: int
    unit: str
    seed: int
    epoch: int

    @abstractmethod
    def __len__(self) -> int:
        """Batches per epoch."""


class Shares(Sampler[list[Place]]):
    """Batches of an order, cut into equal parts for the processes that train together: a batch sampler.

    A batch is the recipe's, whatever the number of processes: each gets a piece of it, in the order of the processes.
    Of whole batches a piece holds whole groups. A last batch that is not full is left out, unless it is the only one
    (BatchNorm breaks on a batch of one image).

    Args:
        order: of the samples, or whole batches of them.
        batch_size: samples per batch; of whole batches it is known.
        process, processes: this process, from 0, and how many there are.

    Raises:
        FeatmaskError: processes that would get parts of different sizes, or fewer than two images (persons) each.
    """

    def __init__(self, order: Shuffle | Batches, batch_size: int, process: int = 0, processes: int = 1) -> None:
        self.order, self.process, self.processes = order, process, processes
        self.batch_size = order.batch_size if isinstance(order, Batches) else min(batch_size, len(order))
        if processes > 1:
            self._check()

    def __len__(self) -> int:
        return len(self.order) if isinstance(self.order, Batches) else len(self.order) // self.batch_size

    def __iter__(self) -> Iterator[list[Place]]:
        # the third number keeps these apart from what the order draws
        rng = np.random.default_rng([self.order.seed, self.order.epoch, 1])
        part = self.batch_size // self.processes
        mine = slice(self.process * part, (self.process + 1) * part)
        for batch in self._batches():
            seeds = rng.integers(2**32, size=self.batch_size)
            yield list(zip(batch[mine], seeds[mine].tolist(), strict=True))

    def _batches(self) -> Iterator[list[int]]:
        if isinstance(self.order, Batches):
            yield from self.order
            return
        rows = list(self.order)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield rows[start : start + self.batch_size]

    def _check(self) -> None:
        group, unit = (self.order.group, self.order.unit) if isinstance(self.order, Batches) else (1, "images")
        parts, left = divmod(self.batch_size // group, self.processes)
        if left or parts < 2:
            step, parts_of = self.processes * group, f"{self.batch_size // group} {unit}"
            raise FeatmaskError(
                f"train.batch_size: {self.processes} processes cannot share a batch of {parts_of} out equally, 2 or "
                f"more each; set it to a multiple of {step} from {2 * step} on, no more than there is data for, or "
                "start fewer processes"
            )


class Seeded(Dataset[Any]):
    """Samples by (row, seed): what is random about one comes from its seed, and leaves other random numbers alone.

    ``data`` has samples by row, augmented by torch's global random numbers on the CPU, if at all.
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
