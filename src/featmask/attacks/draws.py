"""Random numbers of a batch: each sample's own, so that its result depends on no neighbour, or one stream for all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch


class Noise(Protocol):
    """What an attack draws from. Numbers are drawn on the CPU, in float32: the same on every device."""

    def uniform(self, *shape: int) -> torch.Tensor:
        """(N, *shape) in [0, 1)."""

    def normal(self, *shape: int) -> torch.Tensor:
        """(N, *shape) of mean 0 and variance 1."""

    def take(self, keep: torch.Tensor) -> Noise:
        """What some of the samples draw from: a mask or positions, (N,)."""


class Stream:
    """One generator for a batch of ``count``; without one, torch's own. What a sample gets depends on its place."""

    def __init__(self, count: int, generator: torch.Generator | None = None) -> None:
        self.count, self.generator = count, generator

    def uniform(self, *shape: int) -> torch.Tensor:
        """(N, *shape) in [0, 1)."""
        return torch.rand((self.count, *shape), generator=self.generator)

    def normal(self, *shape: int) -> torch.Tensor:
        """(N, *shape) of mean 0 and variance 1."""
        return torch.randn((self.count, *shape), generator=self.generator)

    def take(self, keep: torch.Tensor) -> Stream:
        """The same stream for some of the samples."""
        return Stream(int(keep.sum()) if keep.dtype == torch.bool else len(keep), self.generator)


class Draws:
    """A generator a sample.

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

    def uniform(self, *shape: int) -> torch.Tensor:
        """(N, *shape) in [0, 1)."""
        if not self.generators:
            return torch.empty(0, *shape)
        return torch.stack([torch.rand(shape, generator=generator) for generator in self.generators])

    def normal(self, *shape: int) -> torch.Tensor:
        """(N, *shape) of mean 0 and variance 1."""
        if not self.generators:
            return torch.empty(0, *shape)
        return torch.stack([torch.randn(shape, generator=generator) for generator in self.generators])
