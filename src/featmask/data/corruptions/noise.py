"""Noise: electronic (Gaussian), of few photons (Poisson), of broken pixels (salt and pepper)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .tables import Strength


def gaussian_noise(image: torch.Tensor, strength: Strength, rng: np.random.Generator) -> torch.Tensor:
    """Add independent normal values."""
    (deviation,) = strength
    noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    return image + noise.mul_(deviation)


def shot_noise(image: torch.Tensor, strength: Strength, rng: np.random.Generator) -> torch.Tensor:
    """Replace each value by a Poisson count of photons, drawn from tables of the 256 possible levels (`_photons`)."""
    (photons,) = strength
    first, keep, other = _photons(photons)
    level = (image.numpy() * 255 + 0.5).astype(np.int32)
    chance = rng.random(level.shape, dtype=np.float32) * np.float32(keep.shape[1])
    column = chance.astype(np.int32)
    cell = level * np.int32(keep.shape[1]) + column
    counts = np.where(chance - column < keep.take(cell), column, other.take(cell)) + first.take(level)
    return torch.from_numpy(counts.astype(np.float32)).div_(photons)


@lru_cache(maxsize=5)
def _photons(photons: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Walker's alias tables of Poisson counts: one uniform number then gives a count, whatever its mean.

    Returns:
        (256,) the smallest count of a level; (256, K) with what probability a column keeps its own count; (256, K) the
        count that it gives otherwise. Both count from the smallest. What lies beyond K has less than 1e-12 together.
    """
    rate = np.arange(256) / 255 * photons
    first = np.floor(np.maximum(rate - 8 * np.sqrt(rate), 0)).astype(np.int32)
    size = int(16 * np.sqrt(photons)) + 24
    counts = first[:, None] + np.arange(size)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, counts.max() + 1)))])
    mass = np.exp(counts * np.log(np.maximum(rate, 1e-300))[:, None] - rate[:, None] - log_factorial[counts])
    mass *= size / mass.sum(axis=1, keepdims=True)
    keep, other = np.ones_like(mass), np.zeros(mass.shape, dtype=np.int32)
    done, level = np.zeros(mass.shape, dtype=bool), np.arange(256)
    for _ in range(size):  # of those not done, the column that lacks most is filled up by the one that has most
        low = np.where(done, np.inf, mass).argmin(axis=1)
        high = np.where(done, -np.inf, mass).argmax(axis=1)
        keep[level, low], other[level, low] = mass[level, low], high
        mass[level, high] -= 1 - mass[level, low]
        done[level, low] = True
    return first, keep.astype(np.float32), other


def impulse_noise(image: torch.Tensor, strength: Strength, rng: np.random.Generator) -> torch.Tensor:
    """Turn a share of the values, each channel for itself, into 0 or 1 with equal chance."""
    (share,) = strength
    chance = torch.from_numpy(rng.random(tuple(image.shape), dtype=np.float32))
    return image.masked_fill(chance < share / 2, 0.0).masked_fill_(chance >= 1 - share / 2, 1.0)
