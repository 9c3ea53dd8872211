"""Blur: out of focus, through frosted glass, of motion, of zooming in."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from .filters import clipped_zoom, correlate, motion, smooth
from .tables import NUDGE, Strength


def defocus_blur(image: torch.Tensor, strength: Strength, _: np.random.Generator) -> torch.Tensor:
    """Average over a disk."""
    return correlate(image, _disk(*strength))


@lru_cache(maxsize=10)
def _disk(radius: float, sigma: float) -> torch.Tensor:
    """A disk whose edge a small Gaussian smooths, cut down to what is not zero.

    The authors hold it in 17 x 17 pixels and smooth with 3 x 3 up to radius 8; beyond, they take 5 x 5 pixels.
    """
    half, reach = (8, 1) if radius <= 8 else (int(radius), 2)
    axis = np.arange(-half, half + 1)
    disk = (axis[:, None] ** 2 + axis**2 <= radius**2).astype(np.float64)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    padded = np.pad(disk / disk.sum(), reach, mode="reflect")
    size = len(axis)
    padded = sum(weight * padded[step : step + size] for step, weight in enumerate(weights))
    kernel = sum(weight * padded[:, step : step + size] for step, weight in enumerate(weights))
    used = int(abs(axis[kernel.max(axis=0) > 1e-7]).max())
    return torch.from_numpy(kernel[half - used : half + used + 1, half - used : half + used + 1].copy()).float()


def glass_blur(image: torch.Tensor, strength: Strength, rng: np.random.Generator) -> torch.Tensor:
    """Let pixels take the place of near neighbours, between two small Gaussian blurs.

    The published loop visits the pixels from the last to the first, and each takes what a neighbour holds at that
    moment. (It reads like a swap, but in NumPy a colour pixel is a view, so the neighbour keeps its own; the published
    images were made so.) Where a neighbour was visited before, what it holds came from a third pixel, and so on: these
    chains are followed for all pixels at once, with the outcome that the loop would have.
    """
    sigma, farthest, rounds = strength[0], int(strength[1]), int(strength[2])
    height, width = image.shape[-2:]
    image = smooth(image, sigma, mode="nearest", truncate=4.0)
    image = (image * 255 + NUDGE).floor_() / 255  # shuffled as an 8-bit image
    for _ in range(rounds):
        shifts = rng.integers(-farthest, farthest, size=(2, height, width))
        image = image.flatten(1).index_select(1, torch.from_numpy(shuffled(shifts, farthest))).view_as(image)
    return smooth(image, sigma, mode="nearest", truncate=4.0)


def shuffled(shifts: npt.NDArray[np.int64], farthest: int) -> npt.NDArray[np.int64]:
    """Where each pixel of a locally shuffled image comes from.

    Args:
        shifts: (2, H, W), down and right, from -farthest to farthest - 1: the neighbour that a pixel takes.
        farthest: pixels nearer to the border than the loop goes stay.

    Returns:
        (H * W,) places in the flattened image.
    """
    height, width = shifts.shape[1:]
    place = np.arange(height * width)
    moves = np.zeros((height, width), dtype=np.int64)
    loop = np.s_[farthest + 1 : height - farthest + 1, farthest + 1 : width - farthest + 1]
    moves[loop] = shifts[0][loop] * width + shifts[1][loop]
    source: npt.NDArray[np.int64] = place + moves.reshape(-1)
    # a neighbour that lies later in the image was visited before; one that the loop leaves out is its own source
    follow = np.maximum(source, place)
    while True:
        further = follow[follow]  # each turn doubles the length of chain that is followed
        if np.array_equal(further, follow):
            break
        follow = further
    out: npt.NDArray[np.int64] = source[follow]
    return out


def motion_blur(image: torch.Tensor, strength: Strength, rng: np.random.Generator) -> torch.Tensor:
    """Smear along a line whose angle is drawn from -45 to 45 degrees."""
    radius, sigma = strength
    return motion(image, radius, sigma, rng.uniform(-45, 45))


def zoom_blur(image: torch.Tensor, strength: Strength, _: np.random.Generator) -> torch.Tensor:
    """Average over magnified middles of the image and the image itself."""
    factors = np.arange(1, *strength).tolist()
    out = image.clone()
    for factor in factors:
        out += clipped_zoom(image, factor)
    return out.div_(len(factors) + 1)
