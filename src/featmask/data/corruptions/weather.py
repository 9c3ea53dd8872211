"""Weather: snow, frost and fog (brightness, the fourth of this group, stands with contrast)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from .filters import clipped_zoom, motion
from .frost import LUMA, plates
from .tables import LARGE, Strength


def snow(image: torch.Tensor, strength: Strength, rng: np.random.Generator) -> torch.Tensor:
    """Whiten the image and lay falling flakes over it, once as drawn and once turned by half a circle."""
    mean, deviation, zoom, threshold, radius, sigma, kept = strength
    height, width = image.shape[-2:]
    flakes = torch.from_numpy(rng.standard_normal((1, height, width), dtype=np.float32)) * deviation + mean
    flakes = clipped_zoom(flakes, zoom)
    flakes = flakes.masked_fill(flakes < threshold, 0.0).clamp_(0, 1)
    flakes = (flakes * 255).floor_() / 255  # an 8-bit image between the steps, as published
    flakes = (motion(flakes, radius, sigma, rng.uniform(-135, -45)) * 255).round_() / 255
    grey = image if len(image) == 1 else (image * LUMA).sum(dim=0, keepdim=True)
    whitened = kept * image + (1 - kept) * torch.maximum(image, grey * 1.5 + 0.5)
    return whitened + flakes + flakes.flip(1, 2)


def frost(image: torch.Tensor, strength: Strength, rng: np.random.Generator) -> torch.Tensor:
    """Blend with a random part of a frosted window, by the published weights.

    The published frost is cut from photographs that are not ours to give away. Here five plates of ice crystals are
    rendered (`frost.plates`), with the mean and the deviation of those photographs, so figures for frost come close to
    the published corruption but do not equal it: a record says ``frost: rendered``.
    """
    height, width = image.shape[-2:]
    ice = plates(len(image), small=min(height, width) < LARGE)
    ice = ice[int(rng.integers(len(ice)))]
    top, left = rng.integers(ice.shape[-1], size=2).tolist()
    if rng.integers(2):
        ice = ice.transpose(1, 2)
    # plates continue on the other side, so any size can be cut at any place
    rows, columns = ((start + torch.arange(side)) % ice.shape[-1] for start, side in ((top, height), (left, width)))
    return strength[0] * image + strength[1] * ice[:, rows[:, None], columns]


def fog(image: torch.Tensor, strength: Strength, rng: np.random.Generator) -> torch.Tensor:
    """Add a plasma fractal, then scale so that the brightest pixel could stay as bright."""
    weight, decay = strength
    height, width = image.shape[-2:]
    brightest = float(image.max())
    cloud = plasma(1 << (max(height, width) - 1).bit_length(), decay, rng)
    foggy = image + weight * torch.from_numpy(cloud[:height, :width].astype(np.float32))
    return foggy * (brightest / (brightest + weight))


def plasma(size: int, decay: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A fractal height map from 0 to 1 by the diamond-square algorithm, continued around its borders.

    Args:
        size: of the side, a power of two.
        decay: by which the amplitude shrinks from one scale to the next; the greater, the smoother.
        rng: draws size * size - 1 values.
    """
    heights = np.zeros((size, size))
    draws = rng.uniform(-1, 1, size * size - 1)
    step, amplitude, used = size, 100.0, 0
    while step >= 2:
        half, count = step // 2, size // step
        # the amplitude is squared, as in the published code
        new = draws[used : used + 3 * count * count].reshape(3, count, count) * amplitude**2
        used += 3 * count * count
        corners = heights[::step, ::step]
        pairs = corners + np.roll(corners, -1, 0)
        middles = (pairs + np.roll(pairs, -1, 1)) / 4 + new[0]
        heights[half::step, half::step] = middles
        around = middles + np.roll(middles, 1, 0) + corners + np.roll(corners, -1, 1)
        heights[::step, half::step] = around / 4 + new[1]
        heights[half::step, ::step] = (middles + np.roll(middles, 1, 1) + pairs) / 4 + new[2]
        step, amplitude = half, amplitude / decay
    heights -= heights.min()
    heights /= heights.max()
    return heights
