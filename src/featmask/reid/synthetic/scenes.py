"""Places behind and in front of people, drawn from a camera's own random stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import require
from .canvas import Canvas, plain
from .domains import Colour
from .world import SCENE, World

#: A place is this many pictures wide; shots look at different parts of it.
SPAN = 4

#: Scene -> colours of the ground and of what stands behind it.
GROUNDS: dict[str, tuple[Colour, Colour]] = {
    "paving": ((0.62, 0.60, 0.57), (0.66, 0.62, 0.56)),
    "lawn": ((0.42, 0.52, 0.28), (0.28, 0.38, 0.22)),
    "wall": ((0.56, 0.55, 0.54), (0.58, 0.40, 0.33)),
    "railings": ((0.60, 0.58, 0.56), (0.58, 0.64, 0.66)),
    "road": ((0.42, 0.43, 0.45), (0.52, 0.53, 0.50)),
    "night": ((0.30, 0.29, 0.30), (0.14, 0.15, 0.20)),
    "snow": ((0.82, 0.84, 0.88), (0.40, 0.42, 0.46)),
    "arcade": ((0.48, 0.44, 0.40), (0.46, 0.38, 0.30)),
    "tiles": ((0.58, 0.60, 0.62), (0.44, 0.48, 0.52)),
}


def panorama(world: World, camera: int, scenes: tuple[str, ...], pitch: float) -> npt.NDArray[np.uint8]:
    """A strip of the places that a camera sees, side by side, at twice the height of a picture.

    Each of the ``scenes`` (names of ``GROUNDS``) gets ``SPAN`` double widths. The steeper the ``pitch`` (degrees), the
    more of the ground is seen.
    """
    parts = [_place(world, world.stream(SCENE, camera, number), name, pitch) for number, name in enumerate(scenes)]
    return np.concatenate(parts, axis=1)


def _place(world: World, rng: np.random.Generator, scene: str, pitch: float) -> npt.NDArray[np.uint8]:
    image, draw = require("PIL.Image", "train"), require("PIL.ImageDraw", "train")
    blur = require("PIL.ImageFilter", "train")
    height, width = 2 * world.height, 2 * world.width * SPAN
    edge = int(height * np.clip(0.62 - pitch / 42, 0.02, 0.62))
    ground, behind = (np.array(value) for value in GROUNDS[scene])
    strip = np.empty((height, width, 3), dtype=np.float32)
    strip[:edge] = behind * np.linspace(1.06, 0.92, max(edge, 1))[:edge, None, None]
    strip[edge:] = ground * np.linspace(0.86, 1.06, height - edge)[:, None, None]
    picture = image.fromarray((np.clip(strip, 0, 1) * 255).astype(np.uint8))
    pen = draw.Draw(picture)
    _behind(pen, scene, rng, width, edge)
    _ground(pen, scene, rng, width, edge, height)
    _things(pen, scene, rng, width, edge, height)
    picture = picture.filter(blur.GaussianBlur(1.3 * world.height / 128))
    grain = rng.normal(1.0, 0.05, (height, width))
    # soft spots: brightness factors that vary over 16 pixels
    coarse = rng.normal(1.0, 0.07, (height // 16 + 2, width // 16 + 2)).astype(np.float32)
    grain *= np.asarray(image.fromarray(coarse).resize((width, height), image.Resampling.BICUBIC))
    return np.clip(np.asarray(picture) * grain[..., None] + 0.5, 0, 255).astype(np.uint8)


def _rgb(value: Iterable[float], factor: float = 1.0) -> tuple[int, int, int]:
    r, g, b = (int(min(max(part * factor, 0.0), 1.0) * 255) for part in value)
    return r, g, b


def _behind(pen: Any, scene: str, rng: np.random.Generator, width: int, edge: int) -> None:
    """Bricks, windows, hedges, railings: what closes the view."""
    back = GROUNDS[scene][1]
    x: float
    y: float
    if scene == "wall":
        for row, y in enumerate(range(0, edge, 9)):
            for x in range(-(row % 2) * 12, width, 24):
                pen.rectangle((x, y, x + 22, y + 7), fill=_rgb(back, float(rng.uniform(0.85, 1.1))))
    elif scene in ("lawn", "snow"):
        for _ in range(width // 6):
            x, y, r = rng.uniform(0, width), rng.uniform(0, max(edge, 1)), rng.uniform(6, 22)
            pen.ellipse((x - r, y - r, x + r, min(y + r, edge + 4)), fill=_rgb(back, float(rng.uniform(0.6, 1.25))))
    elif scene == "railings":
        pen.rectangle((0, edge - 12, width, edge), fill=_rgb((0.45, 0.46, 0.46)))
        for x in range(0, width, 11):
            pen.line((x, edge * 0.35, x, edge), fill=_rgb((0.22, 0.24, 0.25)), width=3)
        pen.line((0, edge * 0.35, width, edge * 0.35), fill=_rgb((0.22, 0.24, 0.25)), width=4)
    else:
        dark = scene in ("night", "arcade")
        x = 0.0
        while x < width:
            wide = rng.uniform(30, 90)
            lit = rng.random() < 0.4
            glass = (0.95, 0.82, 0.50) if dark and lit else (0.30, 0.36, 0.42) if dark else (0.46, 0.54, 0.60)
            pen.rectangle((x, 0, x + wide, edge), fill=_rgb(back, float(rng.uniform(0.75, 1.15))))
            pen.rectangle((x + wide * 0.2, edge * 0.1, x + wide * 0.8, edge * rng.uniform(0.6, 0.95)), fill=_rgb(glass))
            x += wide


def _ground(pen: Any, scene: str, rng: np.random.Generator, width: int, edge: int, height: int) -> None:
    """Joints, tufts, kerbs, markings: what lies on the ground."""
    base = GROUNDS[scene][0]
    x: float
    y: float
    if scene in ("paving", "tiles", "arcade", "railings", "wall"):
        y, step = edge, 7.0
        while y < height:
            pen.line((0, y, width, y), fill=_rgb(base, 0.80), width=2)
            # joints run to a far point, and lean the more the further they lie aside
            for x in range(-width, 2 * width, 46):
                pen.line((x, y, x + (x - width / 2) * 0.01 + 4, y + step), fill=_rgb(base, 0.84), width=2)
            if scene == "tiles":
                for x in range(int(rng.integers(46)), width, 92):
                    pen.rectangle((x, y, x + 44, y + step), fill=_rgb(base, 1.12))
            y, step = y + step, step * 1.28
    elif scene in ("lawn", "snow"):
        for _ in range(width * 2):
            x, y = rng.uniform(0, width), rng.uniform(edge, height)
            blade = (x, y, x + rng.normal(0, 3), y - rng.uniform(2, 7))
            pen.line(blade, fill=_rgb(base, float(rng.uniform(0.8, 1.15))))
        path = edge + (height - edge) * rng.uniform(0.25, 0.5)
        pen.rectangle((0, path, width, path + (height - edge) * 0.4), fill=_rgb((0.60, 0.57, 0.52)))
    else:
        pen.rectangle((0, edge, width, edge + 10), fill=_rgb((0.62, 0.62, 0.60), 0.5 if scene == "night" else 1.0))
        for x in range(0, width, 150):
            y = edge + (height - edge) * 0.55
            pen.polygon(((x, y), (x + 70, y), (x + 62, y + 12), (x - 10, y + 12)), fill=_rgb((0.80, 0.80, 0.76)))


def _things(pen: Any, scene: str, rng: np.random.Generator, width: int, edge: int, height: int) -> None:
    """Tree trunks, posts, bins, parked cars and lamps, here and there."""
    for _ in range(9):
        x, foot = float(rng.uniform(0, width)), float(edge + (height - edge) * rng.uniform(0.02, 0.3))
        kind = int(rng.integers(4))
        shade = rng.uniform(0.15, 0.7, 3)
        if kind == 0:
            pen.rectangle((x, 0, x + rng.uniform(5, 16), foot), fill=_rgb((0.30, 0.25, 0.20)))
        elif kind == 1:
            pen.rectangle((x, foot - 46, x + 26, foot), fill=_rgb(shade))
            pen.rectangle((x, foot - 46, x + 26, foot - 38), fill=_rgb(shade, 0.6))
        elif kind == 2:
            pen.rounded_rectangle((x, foot - 52, x + 130, foot - 8), 14, fill=_rgb(shade))
            pen.rounded_rectangle((x + 26, foot - 74, x + 104, foot - 40), 12, fill=_rgb((0.25, 0.29, 0.33)))
            for wheel in (x + 18, x + 92):
                pen.ellipse((wheel, foot - 20, wheel + 22, foot + 2), fill=_rgb((0.08, 0.08, 0.09)))
        elif scene in ("night", "snow", "arcade"):
            pen.ellipse((x, edge * 0.2, x + 22, edge * 0.2 + 22), fill=_rgb((1.0, 0.95, 0.78)))


def in_front(canvas: Canvas, rng: np.random.Generator, mood: tuple[float, ...]) -> None:
    """Something of a camera's place before the person: a pole, a rail, a bush or a bench at the borders."""
    height, width = canvas.pixels.shape[:2]
    kind = int(rng.integers(3)) if rng.random() < 0.5 else int(mood[0] * 3)
    tone = 0.12 + 0.4 * mood[1]
    side = width * (rng.uniform(-0.02, 0.16) if rng.random() < 0.5 else rng.uniform(0.84, 1.02))
    if kind == 0:
        half = width * (0.025 + 0.05 * mood[2])
        canvas.trunk([0.0, float(height)], [side, side], [half, half], plain((tone, tone, tone * 1.05)), cloth=False)
    elif kind == 1:
        top = height * rng.uniform(0.78, 0.92)
        thick, wood = height * 0.012, plain((tone, tone * 0.8, tone * 0.6))
        for y in np.arange(top, height, height * 0.06):
            canvas.limb((-9.0, y), (width + 9.0, y), thick, thick, wood)
        canvas.limb((side, top), (side, height + 9.0), height * 0.02, height * 0.02, plain((tone, tone, tone)))
    else:
        for _ in range(14):
            x, y = side + rng.normal(0, width * 0.06), height * (1.0 - abs(rng.normal(0, 0.12)))
            leaf = plain((0.16 + 0.1 * rng.random(), 0.28 + 0.14 * rng.random(), 0.14))
            canvas.limb((x, y), (x + rng.normal(0, 6), y - 8.0), height * 0.022, height * 0.012, leaf)
