"""Random numbers of a batch: each sample's own, so that its result depends on no neighbour, or one stream for all."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch


class Noise(ABC):
    """What an attack draws from. Numbers are drawn on the CPU, in float32: the same on every device."""

    def uniform(self, *shape: int) -> torch.Tensor:
        """(N, *shape) in [0, 1)."""
        return self._drawn(torch.rand, shape)

    def normal(self, *shape: int) -> torch.Tensor:
        """(N, *shape) of mean 0 and variance 1."""
        return self._drawn(torch.randn, shape)

    @abstractmethod
    def take(self, keep: torch.Tensor) -> Noise:
        """What some of the samples draw from: a mask or positions, (N,)."""

    @abstractmethod
    def _drawn(self, make: Callable[..., torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
        """(N, *shape) by ``torch.rand`` or ``torch.randn``."""


class Stream(Noise):
    """One generator for a batch of ``count``; without one, torch's own. What a sample gets depends on its place."""

    def __init__(self, count: int, generator: torch.Generator | None = None) -> None:
        self.count, self.generator = count, generator

    def take(self, keep: torch.Tensor) -> Stream:
        """The same stream for some of the samples."""
        return Stream(int(keep.sum()) if keep.dtype == torch.bool else len(keep), self.generator)

    def _drawn(self, make: Callable[..., torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
        return make((self.count, *shape), generator=self.generator)


class Draws(Noise):
    """One generator per sample.

    What is drawn for a sample depends on the seed, its row in the data set, and the purpose: the same alone, in any
    batch, in any order, and after a run was killed and resumed.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = list(generators)

    @classmethod
    def of(cls, seed: int, rows: Sequence[int], purpose: str = "") -> Draws:
        """New generators for samples of a data set; ``purpose`` tells one attack's numbers from another's."""
        generators = []
        for row in rows:
            digest = hashlib.blake2b(f"{seed}/{purpose}/{int(row)}".encode(), digest_size=8).digest()
            generators.append(torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1))
        return cls(generators)

    def take(self, keep: torch.Tensor) -> Draws:
        """Those of some samples (a mask or positions); they go on where they were, shared with this object."""
        places = keep.nonzero().flatten() if keep.dtype == torch.bool else keep
        return Draws([self.generators[place] for place in places.tolist()])

    def _drawn(self, make: Callable[..., torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
        if not self.generators:
            return torch.empty(0, *shape)
        return torch.stack([make(shape, generator=generator) for generator in self.generators])
