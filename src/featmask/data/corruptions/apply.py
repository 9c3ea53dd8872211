"""Corrupt images: by name and severity, each image for itself."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from ...attacks.ball import check_pixels
from ...errors import FeatmaskError
from . import blur, digital, noise, weather
from .tables import CORRUPTIONS, NUDGE, SEVERITIES, STRENGTHS, Strength, severity_table

#: An image, float32 (C, H, W) in [0, 1] on the CPU, becomes the corrupted one, which may leave [0, 1].
Corruption = Callable[[torch.Tensor, Strength, np.random.Generator], torch.Tensor]

_WORK: Mapping[str, Corruption] = ChainMap(*map(vars, (noise, blur, weather, digital)))


def corrupt(pixels: torch.Tensor, name: str, severity: int, rows: Sequence[int], seed: int = 0) -> torch.Tensor:
    """Apply a common corruption (Hendrycks and Dietterich 2019) to images.

    The published sets are 8-bit images, so pixels are rounded to 8 bits first, and what comes out is cut down to 8 bits
    as the authors' generators do. The constants are the published ones, of ImageNet-C or of CIFAR-10-C by the size of
    the images (`severity_table`). What is drawn for an image depends on ``seed``, its row, ``name`` and ``severity``
    alone: not on its neighbours, their order or any global random state. The work is done on the CPU, so every device
    is given the same images.

    Differences from the authors' generators: frost is rendered (`weather.frost`); grey images stay grey, with one draw
    for the one channel; images need not be square, and elastic_transform adapts to their size (its docstring); OpenCV's
    affine map rounds places to 1/32 of a pixel, ours does not; motion blur keeps fractions of a level to its end.

    Args:
        pixels: (N, C, H, W) floats in [0, 1], C = 1 or 3, H and W at least 8.
        name: one of `CORRUPTIONS`.
        severity: 1 to 5.
        rows: the row of each image in its data set, 0 or more.
        seed: 0 or more.

    Returns:
        (N, C, H, W) float32, multiples of 1/255 in [0, 1], on the device of ``pixels``.

    Raises:
        FeatmaskError: an unknown name, a severity, seed or row out of range, pixels of another shape, type or range, or
            not one row per image.
        MissingExtraError: Pillow (pixelate, jpeg_compression) or SciPy (defocus_blur) is not installed.
    """
    numbers = _checked(pixels, name, severity, rows, seed)
    clean = (pixels.detach().to("cpu", torch.float32) * 255).round_().div_(255).contiguous()
    out = torch.empty_like(clean)
    table = severity_table(*pixels.shape[-2:])
    strength = getattr(STRENGTHS[name], table)[severity - 1]
    work, kind = _WORK[name], CORRUPTIONS.index(name)
    for image, result, row in zip(clean, out, numbers, strict=True):
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, row, kind, severity))))
        result.copy_(work(image, strength, rng))
    return out.mul_(255).add_(NUDGE).clamp_(0, 255).floor_().div_(255).to(pixels.device)


def _checked(pixels: torch.Tensor, name: str, severity: int, rows: Sequence[int], seed: int) -> list[int]:
    """The rows as numbers, after everything was found to be in order."""
    if name not in CORRUPTIONS:
        raise FeatmaskError(f"unknown corruption {name!r}; expected one of: {', '.join(CORRUPTIONS)}")
    if isinstance(severity, bool) or severity not in SEVERITIES:
        raise FeatmaskError(f"severity: expected one of {SEVERITIES}, got {severity!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise FeatmaskError(f"seed: expected a whole number, 0 or more; got {seed!r}")
    if pixels.ndim != 4 or pixels.shape[1] not in {1, 3} or min(pixels.shape[-2:]) < 8:
        raise FeatmaskError(
            f"expected pixels of shape (N, C, H, W) with C = 1 or 3 and H, W of 8 or more; got {tuple(pixels.shape)}"
        )
    if not pixels.is_floating_point():
        raise FeatmaskError(f"expected floating-point pixels in [0, 1], got {pixels.dtype}; divide 8-bit pixels by 255")
    check_pixels(pixels, advice="corrupt images before they are normalised")
    numbers = [int(row) for row in rows]
    if len(numbers) != len(pixels):
        raise FeatmaskError(f"expected one row for each of {len(pixels)} images, got {len(numbers)}")
    if any(row < 0 for row in numbers):
        raise FeatmaskError(f"rows: expected numbers of 0 or more, got {min(numbers)}")
    return numbers
