"""Drawing, on the host, which boxes of which planes are overwritten.

A plan is a few KB of coordinates. One integer from torch's CPU generator seeds a NumPy generator that draws the whole
plan at once: masks repeat with ``torch.manual_seed`` and activation checkpointing recomputes the same ones, while the
drawing itself is vectorised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..errors import FeatmaskError
from .options import PUBLISHED_TRIES, TRIES, Options, Range

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """Which values of an N x C x H x W tensor are overwritten.

    Attributes:
        shape: N, C, H, W.
        boxes: (K, 6) integers ``sample, channel, top, bottom, left, right`` (bottom and right exclusive), none of them
            empty, in writing order: where boxes overlap, the later one wins.
        uniform: (K,) draws in [0, 1), one per box, for the uniform fill.
        seed: for further draws that belong to this plan (noise).
        corners: (K, 2) integers ``top, left`` where a device found the places: the boxes lie there, and those of
            ``boxes`` tell their sizes alone. Such a plan touches every plane at most once.
    """

    shape: tuple[int, int, int, int]
    boxes: Ints
    uniform: Floats
    seed: int
    corners: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def placed(self) -> Ints:
        """The boxes where they lie; waits for the device that found the places, if one did."""
        if self.corners is None:
            return self.boxes
        starts = self.corners.cpu().numpy()
        sizes = self.boxes[:, 3::2] - self.boxes[:, 2::2]
        return np.stack([*self.boxes[:, :2].T, *np.stack([starts, starts + sizes], 2).reshape(-1, 4).T], axis=1)

    def mask(self) -> torch.Tensor:
        """The overwritten values as a boolean (N, C, H, W) tensor on the CPU."""
        mask = np.zeros(self.shape, dtype=bool)
        for n, c, top, bottom, left, right in self.placed().tolist():
            mask[n, c, top:bottom, left:right] = True
        return torch.from_numpy(mask)

    def fraction(self) -> float:
        """The share of all values that is overwritten."""
        size = int(np.prod(self.shape))
        if not size or not len(self):
            return 0.0
        _, _, top, bottom, left, right = self.boxes.T
        planes = self.boxes[:, 0] * self.shape[1] + self.boxes[:, 1]
        if len(np.unique(planes)) == len(planes):  # one box per plane: nothing overlaps
            return float(((bottom - top) * (right - left)).sum()) / size
        return float(self.mask().sum()) / size

    def rounds(self) -> list[Ints]:
        """Indices of the boxes, in rounds that touch every plane at most once; later rounds overwrite earlier ones."""
        planes = self.boxes[:, 0] * self.shape[1] + self.boxes[:, 1]
        order = np.argsort(planes, kind="stable")
        ordered = planes[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(planes) else np.zeros(0, np.int64)
        turn = np.empty(len(planes), np.int64)
        turn[order] = np.arange(len(planes)) - np.repeat(starts, np.diff(np.r_[starts, len(planes)]))
        return [np.flatnonzero(turn == t) for t in range(int(turn.max(initial=-1)) + 1)]


def draw(shape: tuple[int, int, int, int], options: Options, generator: torch.Generator | None = None) -> Plan:
    """Draw a plan for feature maps of ``shape`` (N, C, H, W).

    Processes of a distributed job that share a seed draw different masks, because the rank is mixed in.

    Raises:
        FeatmaskError: under ``torch.func.vmap(randomness="different")``: a host plan is one for all.
    """
    if not options.p:
        return Plan(shape, np.zeros((0, 6), np.int64), np.zeros(0), 0)
    # the device is named: inside `with torch.device("cuda")` the default would be another generator
    drawn = torch.randint(2**63 - 1, (), generator=generator, device="cpu")
    try:
        seed = int(drawn)
    except RuntimeError as error:
        raise FeatmaskError(
            'a mask is drawn on the host: under torch.func.vmap use randomness="same", or mask the batch outside vmap'
        ) from error
    rng = np.random.Generator(np.random.SFC64([seed, rank()]))
    boxes = _published(rng, shape, options) if options.published else _rectangles(rng, shape, options)
    boxes = boxes[(boxes[:, 3] > boxes[:, 2]) & (boxes[:, 5] > boxes[:, 4])]
    return Plan(shape, boxes, rng.random(len(boxes)), int(rng.integers(2**62)))


def rank() -> int:
    """This process's rank in a distributed job, else 0."""
    distributed = torch.distributed
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def _rectangles(rng: np.random.Generator, shape: tuple[int, int, int, int], options: Options) -> Ints:
    """The paper's description: samples, distinct channels in each, a rectangle in each channel."""
    n, c, height, width = shape
    count = options.count(c) if c else 0
    if options.per == "sample":
        samples = np.flatnonzero(rng.random(n) < options.p)
        channels = rng.random((len(samples), c)).argsort(axis=1)[:, :count]
    else:
        samples = np.arange(n if rng.random() < options.p else 0)
        channels = np.broadcast_to(rng.permutation(c)[:count], (len(samples), count))
    h, w = _sizes(rng, channels.size, height, width, options.area, options.aspect, TRIES)
    top = rng.integers(0, height - h, endpoint=True)
    left = rng.integers(0, width - w, endpoint=True)
    return np.stack([np.repeat(samples, count), channels.reshape(-1), top, top + h, left, left + w], axis=1)


def _published(rng: np.random.Generator, shape: tuple[int, int, int, int], options: Options) -> Ints:
    """The authors' code: one coin, channels shared and drawn with replacement, strips of rows.

    ``x[i][c][y1:y1 + h][x1:x1 + w] = v`` slices the rows twice, so that it writes the rows from ``y1 + x1`` up to
    ``min(y1 + h, y1 + x1 + w)`` in their full width; x1 is drawn from the height's range and y1 from the width's.
    """
    n, c, height, width = shape
    samples = np.arange(0 if rng.random() >= options.p else n if options.first is None else min(n, options.first))
    count = options.count(c) if c else 0
    channels = np.tile(rng.integers(0, c, count) if count else np.zeros(0, np.int64), len(samples))
    h, w = _sizes(rng, channels.size, height, width, options.area, options.aspect, PUBLISHED_TRIES)
    x1 = rng.integers(0, height - h, endpoint=True)
    y1 = rng.integers(0, width - w, endpoint=True)
    top = np.minimum(y1 + x1, height)
    bottom = np.minimum(y1 + x1 + np.maximum(0, np.minimum(w, h - x1)), height)
    zero = np.zeros_like(top)
    return np.stack([np.repeat(samples, count), channels, top, bottom, zero, zero + width], axis=1)


def _sizes(
    rng: np.random.Generator, count: int, height: int, width: int, area: Range, aspect: Range, tries: int
) -> tuple[Ints, Ints]:
    """Heights and widths of random-erasing rectangles, redrawn until they fit; 0 x 0 where no try fitted."""
    h = np.zeros(count, np.int64)
    w = np.zeros(count, np.int64)
    pending = np.arange(count)
    for _ in range(tries):
        if not len(pending):
            break
        pixels = rng.uniform(*area, len(pending)) * (height * width)
        ratio = rng.uniform(*aspect, len(pending))
        tall, wide = np.rint(np.sqrt(pixels * ratio)), np.rint(np.sqrt(pixels / ratio))
        fits = (tall < height) & (wide < width)
        h[pending[fits]], w[pending[fits]] = tall[fits].astype(np.int64), wide[fits].astype(np.int64)
        pending = pending[~fits]
    return h, w
