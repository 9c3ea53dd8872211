"""The method, spelt out one value at a time: slow, without vectorisation, and so plain that it can be read as correct.

Written from the paper's description and from reading how the published loop indexes; it shares no code with the package
and draws from Python's ``random``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import torch

Box = tuple[int, int, int, int, int, int]  # sample, channel, top, bottom, left, right

AREA = (0.02, 0.4)
ASPECT = (0.3, 1 / 0.3)


def size(rng: random.Random, height: int, width: int, tries: int) -> tuple[int, int] | None:
    """Height and width of a random-erasing rectangle smaller than the map, or None where no try fits."""
    for _ in range(tries):
        area = rng.uniform(*AREA) * height * width
        aspect = rng.uniform(*ASPECT)
        h = round(math.sqrt(area * aspect))
        w = round(math.sqrt(area / aspect))
        if h < height and w < width:
            return h, w
    return None


def described(rng: random.Random, shape: tuple[int, int, int, int], p: float, drawn: int) -> list[Box]:
    """The paper's description: each sample by chance p, ``drawn`` distinct channels of it, a rectangle in each."""
    samples, channels, height, width = shape
    boxes: list[Box] = []
    for sample in range(samples):
        if rng.random() >= p:
            continue
        for channel in rng.sample(range(channels), drawn):
            found = size(rng, height, width, tries=10)
            if found is None:
                continue
            h, w = found
            top, left = rng.randint(0, height - h), rng.randint(0, width - w)
            boxes.append((sample, channel, top, top + h, left, left + w))
    return [box for box in boxes if box[3] > box[2] and box[5] > box[4]]


def published(rng: random.Random, x: torch.Tensor, p: float, drawn: int, first: int | None = None) -> torch.Tensor:
    """The published loop on a copy of x: one coin, shared channels with replacement, and its slicing, literally."""
    x = x.clone()
    if rng.random() >= p:
        return x
    samples, channels, height, width = x.shape
    chosen = [rng.randrange(channels) for _ in range(drawn)]
    for sample in range(samples if first is None else min(first, samples)):
        for channel in chosen:
            found = size(rng, height, width, tries=100)
            if found is None:
                continue
            h, w = found
            x1, y1 = rng.randint(0, height - h), rng.randint(0, width - w)
            x[sample][channel][y1 : y1 + h][x1 : x1 + w] = rng.random()
    return x


def written(x: torch.Tensor, boxes: Iterable[Box], values: Iterable[float]) -> torch.Tensor:
    """A copy of x with the boxes filled one value at a time, in order."""
    x = x.clone()
    for (sample, channel, top, bottom, left, right), value in zip(boxes, values, strict=True):
        for row in range(top, bottom):
            for col in range(left, right):
                x[sample, channel, row, col] = value
    return x


def rectangle_of(plane: torch.Tensor) -> tuple[int, int, int, int] | None:
    """``top, bottom, left, right`` of the True values of a boolean (H, W) plane; None if none, or not a rectangle."""
    cells = [(row, col) for row in range(plane.shape[0]) for col in range(plane.shape[1]) if plane[row, col]]
    if not cells:
        return None
    top, bottom = min(row for row, _ in cells), max(row for row, _ in cells) + 1
    left, right = min(col for _, col in cells), max(col for _, col in cells) + 1
    return (top, bottom, left, right) if len(cells) == (bottom - top) * (right - left) else None
