"""Drawing and writing masks inside a graph: for torch.compile, CUDA graphs, and generators that live on a device.

Every shape is static: each plane has coordinates, those of planes left alone are empty. Nothing is read back to the
host. The distribution is that of ``plan``; the random numbers are others.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .guided import strongest
from .options import BITS, PUBLISHED_TRIES, TRIES, Options
from .overwrite import plane_statistics
from .plan import rank


class _Uniform:
    """Uniform draws in [0, 1) on a device, different on every rank of a distributed job."""

    def __init__(self, device: torch.device, generator: torch.Generator | None) -> None:
        self.device = device
        # naming generator=None crashes torch.compile once the batch size varies: leave the keyword out
        self.options: dict[str, Any] = {} if generator is None else {"generator": generator}
        self.rank = rank()

    def __call__(self, *shape: int) -> torch.Tensor:
        draws = torch.rand(shape, device=self.device, dtype=torch.float32, **self.options)
        return draws if self.rank == 0 else _mixed(draws, self.rank)


def _mixed(draws: torch.Tensor, rank: int) -> torch.Tensor:
    """Permute the 2**24 values a float32 draw can take, in a way of its own for every rank.

    Multiplications by odd numbers and xor-shifts are bijections of the grid, so the draws stay exactly uniform.
    """
    full = (1 << 24) - 1
    bits = (draws * 2.0**24).long() ^ ((rank * 0x9E3779B1) & full)
    for _ in range(2):
        bits = bits ^ (bits >> 13)
        bits = (bits * (0x85EBCA6B & full | 1) + rank) & full
        bits = bits ^ (bits >> 11)
    return bits.to(draws.dtype) * 2.0**-24


def mask_traced(x: torch.Tensor, options: Options, generator: torch.Generator | None = None) -> torch.Tensor:
    """Return ``x`` (N, C, H, W) with freshly drawn boxes overwritten; its memory format is kept."""
    uniform = _Uniform(x.device, generator)
    if options.published:
        rows, value = _published(x, options, uniform)
        cols = None
    else:
        rows, cols = _rectangles(x, options, uniform)
        value = _value(x, options, uniform)
    return torch.where(_combined(rows, cols, x), value, x)


def _combined(rows: torch.Tensor, cols: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    """The (N, C, H, W) mask in x's memory order: a mask in another order would make ``where`` lose channels_last."""
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        # contiguous, or the result would take its order of dimensions from the transposed rows
        mask = rows.transpose(1, 2).contiguous()[:, :, None, :]
        if cols is not None:
            mask = mask & cols.transpose(1, 2).contiguous()[:, None, :, :]
        return mask.expand(x.shape[0], x.shape[2], x.shape[3], x.shape[1]).permute(0, 3, 1, 2)
    return rows[:, :, :, None] if cols is None else rows[:, :, :, None] & cols[:, :, None, :]


def _sizes(
    uniform: _Uniform, n: int, count: int, height: int, width: int, options: Options, tries: int
) -> tuple[torch.Tensor, torch.Tensor]:
    low, high = options.area
    pixels = (low + (high - low) * uniform(tries, n, count)) * (height * width)
    low, high = options.aspect
    ratio = low + (high - low) * uniform(tries, n, count)
    tall, wide = (pixels * ratio).sqrt().round(), (pixels / ratio).sqrt().round()
    fits = (tall < height) & (wide < width)
    first = fits.int().argmax(0, keepdim=True)  # the first try that fits
    found = fits.any(0)
    return tall.gather(0, first)[0].where(found, 0.0), wide.gather(0, first)[0].where(found, 0.0)


def _position(uniform: _Uniform, room: torch.Tensor) -> torch.Tensor:
    """Uniform over 0, 1, ..., room."""
    return torch.minimum((uniform(*room.shape) * (room + 1)).floor(), room)


def _within(length: int, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    steps = torch.arange(length, device=start.device)
    return (steps >= start[..., None]) & (steps < end[..., None])


def _rectangles(x: torch.Tensor, options: Options, uniform: _Uniform) -> tuple[torch.Tensor, torch.Tensor]:
    n, c, height, width = x.shape
    shared = options.per == "batch"
    samples = uniform(1 if shared else n) < options.p
    channels = uniform(1 if shared else n, c).argsort(1) < options.count(c)
    h, w = _sizes(uniform, n, c, height, width, options, TRIES)
    if options.place == "strongest":  # of every plane, since shapes are static
        found = strongest(x.detach().flatten(0, 1), h.flatten().long(), w.flatten().long())
        top, left = (start.view(n, c) for start in found)
    else:
        top, left = _position(uniform, height - h), _position(uniform, width - w)
    active = samples[:, None] & channels
    return _within(height, top, top + h) & active[..., None], _within(width, left, left + w)


def _published(x: torch.Tensor, options: Options, uniform: _Uniform) -> tuple[torch.Tensor, torch.Tensor]:
    n, c, height, width = x.shape
    count = options.count(c)
    channels = (uniform(count) * c).long().clamp_max(c - 1)
    h, w = _sizes(uniform, n, count, height, width, options, PUBLISHED_TRIES)
    x1, y1 = _position(uniform, height - h), _position(uniform, width - w)
    strips = _within(height, y1 + x1, y1 + x1 + (torch.minimum(w, h - x1)).clamp_min(0.0))
    strips = strips & (uniform(1) < options.p)
    if options.first is not None:
        strips = strips & (torch.arange(n, device=x.device) < options.first)[:, None, None]
    # Channels repeat, later draws win: the number of the last draw that touches a row, 0 for none.
    turn = torch.arange(1, count + 1, device=x.device)[None, :, None] * strips
    last = torch.zeros(n, c, height, dtype=turn.dtype, device=x.device)
    last = last.scatter_reduce(1, channels[None, :, None].expand(n, count, height), turn, "amax")
    fills = _on_grid(uniform(n, count), x.dtype)
    values = fills.gather(1, (last - 1).clamp_min(0).flatten(1)).view(n, c, height, 1)
    return last > 0, values


def _value(x: torch.Tensor, options: Options, uniform: _Uniform) -> torch.Tensor:
    if options.fill == "uniform":
        return _on_grid(uniform(x.shape[0], x.shape[1], 1, 1), x.dtype)
    if options.fill == "mean":
        return plane_statistics(x)[0].to(x.dtype)[..., None, None]
    if options.fill == "noise":
        mean, std = plane_statistics(x)
        # Box and Muller's transform of uniform draws: torch.randn would be the same on every rank
        radius = (-2 * torch.log1p(-uniform(*x.shape))).sqrt()
        noise = radius * torch.cos(2 * math.pi * uniform(*x.shape))
        scaled: torch.Tensor = noise * std[..., None, None] + mean[..., None, None]
        return scaled.to(x.dtype)
    return torch.full((), 0.0 if options.fill == "zero" else float(options.fill), dtype=x.dtype, device=x.device)


def _on_grid(draws: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    steps = 2.0 ** min(24, BITS[dtype])
    return ((draws * steps).floor() / steps).to(dtype)
