"""Solid-looking parts painted onto an array: limbs (tapered capsules) and trunks (profiles along a vertical axis).

Each part knows, for its pixels, how far across it they lie (u from -1 to 1) and how far along (v from 0 to 1); colour
is a function of both, and the surface's normal follows from u, so that light gives a body to what is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
#: (u, v) -> colours, of shape (rows, columns, 3) or (3,).
Paint = Callable[[Floats, Floats], Floats]
#: Middles of pixels, as many as the largest canvas has in a row or column.
_MIDDLES = np.arange(2048, dtype=np.float32) + np.float32(0.5)
Point = tuple[float, float]
#: Rows and columns.
Area = tuple[slice, slice]


@dataclass
class Canvas:
    """Pixels, and the light that falls on what is painted.

    Attributes:
        pixels: (height, width, 3), 0 to 1.
        light: direction to the light: right, up, towards the camera.
        ambient: share of light that comes from everywhere.
        folds: (64, 64) brightness factors of crumpled cloth.
    """

    pixels: Floats
    light: tuple[float, float, float]
    ambient: float
    folds: Floats

    def limb(self, start: Point, end: Point, r0: float, r1: float, paint: Paint, cloth: bool = True) -> None:
        """Paint a capsule from ``start`` (radius ``r0``) to ``end`` (``r1``), in pixels."""
        (x0, y0), (x1, y1) = start, end
        reach = max(r0, r1) + 1.0
        area, y, x = self._area(min(x0, x1) - reach, min(y0, y1) - reach, max(x0, x1) + reach, max(y0, y1) + reach)
        dx, dy = x1 - x0, y1 - y0
        length = max(float(np.hypot(dx, dy)), 1e-3)
        ex, ey = dx / length, dy / length
        px, py = x - x0, y - y0
        along = px * ex + py * ey
        across = px * -ey + py * ex
        v = _clip(along / length, 0.0)
        radius = r0 + (r1 - r0) * v
        beyond = along - v * length
        cover = _clip(radius - np.sqrt(across * across + beyond * beyond) + 0.5, 0.0)
        u = _clip(across / radius, -1.0)
        self._put(area, cover, u, v, (-ey, -ex), paint, cloth)

    def trunk(
        self, ys: Sequence[float], centres: Sequence[float], halves: Sequence[float], paint: Paint, cloth: bool = True
    ) -> None:
        """Paint what has its centre and half width given at the heights ``ys`` (ascending), in pixels."""
        reach = max(halves) + 1.0
        area, y, x = self._area(min(centres) - reach, ys[0], max(centres) + reach, ys[-1])
        centre = _between(y, ys, centres)
        half = np.maximum(_between(y, ys, halves), np.float32(0.3))
        offset = x - centre
        cover = _clip(half - np.abs(offset) + 0.5, 0.0)
        cover = cover * _clip(np.minimum(y - ys[0], ys[-1] - y) + 0.5, 0.0)
        u = _clip(offset / half, -1.0)
        v = _clip((y - ys[0]) / max(ys[-1] - ys[0], 1e-3), 0.0) + np.zeros_like(u)
        self._put(area, cover, u, v, (1.0, 0.0), paint, cloth)

    def shade(self, x: float, y: float, wide: float, high: float, strength: float) -> None:
        """Darken a soft ellipse: a shadow."""
        area, ys, xs = self._area(x - wide, y - high, x + wide, y + high)
        depth = np.clip(1.0 - ((xs - x) / wide) ** 2 - ((ys - y) / high) ** 2, 0.0, 1.0)
        self.pixels[area] *= (1.0 - strength * np.sqrt(depth))[..., None]

    def _area(self, left: float, top: float, right: float, bottom: float) -> tuple[Area, Floats, Floats]:
        """The part of a rectangle that is on the canvas, maybe none of it, and the middles of its pixels."""
        height, width = self.pixels.shape[:2]
        rows = slice(max(int(top), 0), max(min(int(bottom) + 2, height), 0))
        columns = slice(max(int(left), 0), max(min(int(right) + 2, width), 0))
        return (rows, columns), _MIDDLES[rows, None], _MIDDLES[None, columns]

    def _put(self, area: Area, cover: Floats, u: Floats, v: Floats, axis: Point, paint: Paint, cloth: bool) -> None:
        """Light a part's colours and lay them over what is there; ``axis`` is where u points (right, up)."""
        lx, ly, lz = self.light
        facing = u * np.float32(axis[0] * lx + axis[1] * ly) + np.sqrt(1.0 - u * u) * np.float32(lz)
        bright = self.ambient + (1.0 - self.ambient) * np.maximum(facing, 0.0) * 1.3
        if cloth:
            bright *= self.folds.take((v * 40).astype(np.intp) * 64 + ((u + 1.0) * 15).astype(np.intp))
        colours = paint(u, v) * bright[..., None]
        under = self.pixels[area]
        colours -= under
        colours *= cover[..., None]
        under += colours


def _clip(values: npt.NDArray[np.floating[Any]], low: float) -> Floats:
    """Values from ``low`` to 1; half the cost of ``np.clip`` on small arrays."""
    return np.asarray(np.minimum(np.maximum(values, np.float32(low)), np.float32(1.0)), dtype=np.float32)


def _between(y: Floats, ys: Sequence[float], values: Sequence[float]) -> Floats:
    """Linear interpolation that stays in 32 bits."""
    return np.asarray(np.interp(y, ys, values), dtype=np.float32)


def plain(value: Sequence[float]) -> Paint:
    """Paint of one colour."""
    fixed = np.array(value, dtype=np.float32)
    return lambda u, v: fixed


def mix(where: npt.NDArray[np.bool_], one: Sequence[float] | Floats, two: Sequence[float] | Floats) -> Floats:
    """Colours ``one`` where a mask (rows, columns) holds, else ``two``."""
    mixed = np.empty((*where.shape, 3), dtype=np.float32)
    mixed[...] = two
    mixed[where] = one[where] if isinstance(one, np.ndarray) and one.ndim == 3 else one
    return mixed
