"""Frost on a window, rendered: ferns of ice over a cloudy ground, the same on every machine."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Field = npt.NDArray[Any]

#: Side of a plate in pixels, and how much smaller plates are for small images (the authors' factor of 0.2).
PLATE, _SMALLER = 480, 5
#: Mean and deviation of red, green and blue, in levels, of the five photographs that the authors draw from. Measured on
#: the copies in imagecorruptions-imaug 1.1.5; the second and the third are one photograph.
_COLOURS = (
    ((78, 149, 166), (27, 16, 15)),
    ((201, 205, 214), (21, 22, 23)),
    ((201, 205, 214), (21, 22, 23)),
    ((138, 153, 165), (28, 28, 30)),
    ((112, 123, 135), (44, 43, 42)),
)
#: Luma of ITU-R BT.601, by which OpenCV makes colours grey.
LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]


@lru_cache(maxsize=4)
def plates(channels: int, small: bool) -> torch.Tensor:
    """The five plates, (5, channels, S, S) in [0, 1]; each continues on its other side.

    Args:
        channels: 3, or 1 for their luma.
        small: averaged over 5 x 5 pixels, for images that take the CIFAR table.
    """
    out = torch.stack([_plate(index) for index in range(len(_COLOURS))])
    if channels == 1:
        out = (out * LUMA).sum(dim=1, keepdim=True)
    return torch.nn.functional.avg_pool2d(out, _SMALLER) if small else out


@lru_cache(maxsize=len(_COLOURS))
def _plate(index: int) -> torch.Tensor:
    rng = np.random.default_rng((20190, index))
    ice = _standard(_ferns(rng) + _clouds(rng))
    ice = _standard(ice.clip(-2.5, 2.5))
    mean, deviation = (np.array(values, dtype=np.float64)[:, None, None] for values in _COLOURS[index])
    return torch.from_numpy(((mean + deviation * ice).clip(0, 255) / 255).astype(np.float32))


def _standard(field: Field) -> Field:
    out: Field = (field - field.mean()) / field.std()
    return out


def _ferns(rng: np.random.Generator) -> Field:
    """Crystals of many sizes that grew in directions which vary slowly over the plate."""
    count = 420
    x, y, brightness = _fern(rng)
    places, lengths = rng.uniform(0, PLATE, (2, count, 1)), rng.uniform(4, 12, (count, 1)) ** 2
    heading = np.sin(places[0] / PLATE * 2 * np.pi) + np.cos(places[1] / PLATE * 2 * np.pi)
    angle = heading + rng.normal(0, 0.35, (count, 1))
    right = places[0] + lengths * (x * np.cos(angle) - y * np.sin(angle)) + rng.normal(0, 0.4, (count, x.size))
    down = places[1] + lengths * (x * np.sin(angle) + y * np.cos(angle)) + rng.normal(0, 0.4, (count, x.size))
    cells = (down.astype(int) % PLATE) * PLATE + right.astype(int) % PLATE
    # a fern has as many points whatever its length, so a point of a long one stands for more ice
    weight = brightness * lengths * rng.uniform(0.4, 1.0, (count, 1))
    field = np.bincount(cells.ravel(), weight.ravel(), PLATE * PLATE).reshape(PLATE, PLATE)
    return _standard(np.sqrt(_softened(field, 0.4)))


def _fern(rng: np.random.Generator) -> tuple[Field, ...]:
    """Points of a fern of length 1 from the origin along x, and how bright they are: a stem, branches, twigs."""
    stem = np.linspace(0, 1, 160)
    parts = [(stem, np.zeros_like(stem), 2.5 * (1.1 - stem))]
    for at in np.linspace(0.05, 0.92, 18):
        for side in (-1, 1):
            length = 0.45 * (1 - at) * rng.uniform(0.7, 1.1)
            along = np.linspace(0, length, 36)
            turn = side * np.radians(rng.uniform(50, 62))
            parts.append((at + along * np.cos(turn), along * np.sin(turn), 1.2 - along / length))
            for twig in np.linspace(0.2, 0.8, 4) * length:
                short = np.linspace(0, 0.35 * (length - twig), 8)
                # twigs grow along the stem: the hexagon of ice has no other direction
                parts.append((at + twig * np.cos(turn) + short, np.full(8, twig * np.sin(turn)), np.full(8, 0.5)))
    x, y, brightness = (np.concatenate(values) for values in zip(*parts, strict=True))
    return x, y, brightness


def _frequencies() -> Field:
    out: Field = np.hypot(np.fft.fftfreq(PLATE)[:, None], np.fft.rfftfreq(PLATE))
    return out


def _softened(field: Field, sigma: float) -> Field:
    spectrum = np.fft.rfft2(field) * np.exp(-2 * (np.pi * sigma * _frequencies()) ** 2)
    out: Field = np.fft.irfft2(spectrum, (PLATE, PLATE)).clip(min=0)
    return out


def _clouds(rng: np.random.Generator) -> Field:
    """Noise whose amplitude falls with the frequency, so that no scale stands out."""
    frequencies = _frequencies()
    frequencies[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((PLATE, PLATE))) / frequencies**1.5
    spectrum[0, 0] = 0.0
    return _standard(np.fft.irfft2(spectrum, (PLATE, PLATE)))
