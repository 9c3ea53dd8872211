"""Filters that several corruptions share; an image is a float32 (C, H, W) tensor on the CPU."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from ...errors import require

#: Kernel weights below this change nothing that 8 bits show.
_NOTHING = 1e-8


def correlate(image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Correlate each channel with an odd square kernel; the image goes on mirrored, its border pixel not repeated."""
    reach = kernel.shape[-1] // 2
    padded = F.pad(image, (reach,) * 4, mode="reflect")
    fast = require("scipy.fft", "train").next_fast_len
    size = [fast(side, real=True) for side in padded.shape[-2:]]
    # correlation is convolution with the turned kernel; what wraps around falls into the margin that is cut off
    product = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernel.flip(0, 1), s=size)
    out: torch.Tensor = torch.fft.irfft2(product, s=size)
    height, width = image.shape[-2:]
    return out[:, 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width]


def smooth(image: torch.Tensor, sigma: float, *, mode: str, truncate: float) -> torch.Tensor:
    """Gaussian blur, cut off at ``truncate`` sigmas.

    Args:
        image: (..., H, W).
        sigma: in pixels.
        mode: beyond the border, ``nearest`` repeats the last pixel and ``reflect`` mirrors, the last pixel repeated.
        truncate: reach of the kernel over sigma.
    """
    height, width = image.shape[-2:]
    return _blurring(height, sigma, mode, truncate) @ image @ _blurring(width, sigma, mode, truncate).T


@lru_cache(maxsize=16)
def _blurring(size: int, sigma: float, mode: str, truncate: float) -> torch.Tensor:
    """A one-dimensional Gaussian blur as a matrix: its cost does not grow with sigma, which may exceed the image."""
    reach = int(truncate * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2) if reach else np.ones(1)
    weights /= weights.sum()
    source = np.arange(size)[:, None] + offsets
    if mode == "nearest":
        source = source.clip(0, size - 1)
    else:
        source %= 2 * size
        source = np.where(source < size, source, 2 * size - 1 - source)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.broadcast_to(np.arange(size)[:, None], source.shape), source), weights)
    return torch.from_numpy(matrix).float()


def clipped_zoom(image: torch.Tensor, factor: float) -> torch.Tensor:
    """The middle of an image, magnified linearly to the size of the image."""
    sides = image.shape[-2:]
    kept = [math.ceil(side / factor) for side in sides]
    start = [(side - part) // 2 for side, part in zip(sides, kept, strict=True)]
    middle = image[:, start[0] : start[0] + kept[0], start[1] : start[1] + kept[1]]
    size = [round(part * factor) for part in kept]
    large = F.interpolate(middle[None], size, mode="bilinear", align_corners=True)[0]
    trim = [(part - side) // 2 for part, side in zip(size, sides, strict=True)]
    return large[:, trim[0] : trim[0] + sides[0], trim[1] : trim[1] + sides[1]]


def motion(image: torch.Tensor, radius: float, sigma: float, angle: float) -> torch.Tensor:
    """Smear an image to one side, as ImageMagick's motion blur does: half a Gaussian along a line of whole pixels.

    Args:
        radius: the line has 2 * radius + 1 pixels.
        sigma: of the half Gaussian, in pixels.
        angle: of the line, in degrees; 0 takes pixels from the right, 90 from below.
    """
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    weights /= weights.sum()
    down = np.ceil(steps * math.sin(math.radians(angle)) - 0.5).astype(int).tolist()
    right = np.ceil(steps * math.cos(math.radians(angle)) - 0.5).astype(int).tolist()
    top, left = max(0, -min(down)), max(0, -min(right))
    padded = F.pad(image[None], (left, max(0, *right), top, max(0, *down)), mode="replicate")[0]
    height, width = image.shape[-2:]
    out = torch.zeros_like(image)
    for weight, y, x in zip(weights.tolist(), down, right, strict=True):
        if weight < _NOTHING:
            break
        out.add_(padded[:, top + y : top + y + height, left + x : left + x + width], alpha=weight)
    return out


def resample(image: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, *, repeat_edge: bool) -> torch.Tensor:
    """The image at fractional places, linearly between pixels; beyond the border it goes on mirrored.

    Args:
        rows: (H, W) where each pixel comes from, in pixels from the top.
        columns: (H, W) likewise, from the left.
        repeat_edge: whether the mirror lies outside the border pixels, which are then repeated, or in their middle.
    """
    height, width = image.shape[-2:]
    if repeat_edge:
        places = [(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1]
    else:
        places = [2 * columns / (width - 1) - 1, 2 * rows / (height - 1) - 1]
    grid = torch.stack(places, dim=-1)[None]
    return F.grid_sample(image[None], grid, padding_mode="reflection", align_corners=not repeat_edge)[0]
