"""One picture: a person, or what a bad detector takes for one, in front of a camera."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ...errors import require
from .cameras import Camera, camera_of, expose
from .canvas import Canvas, Floats
from .domains import DOMAINS
from .figure import paint_person
from .people import Person, draw_person
from .scenes import in_front
from .view import Pose, View
from .world import EXTRA, EXTRA_SHOT, JUNK, PERSON, SHOT, World

Picture = npt.NDArray[np.uint8]


def shot_of(world: World, pid: int, camera: int, shot: int) -> Picture:
    """Picture ``shot`` of identity ``pid`` by ``camera``: (height, width, 3)."""
    return _picture(world, person_of(world, PERSON, pid), camera, world.stream(SHOT, pid, camera, shot), 1.0)


def distractor(world: World, number: int, camera: int) -> Picture:
    """A picture of a passer-by who is seen once."""
    return _picture(world, person_of(world, EXTRA, number), camera, world.stream(EXTRA_SHOT, number), 1.0)


def junk(world: World, number: int, camera: int) -> Picture:
    """A bad box: background, or a part of a body."""
    rng = world.stream(JUNK, number)
    zoom = 0.0 if number % 3 == 0 else float(rng.uniform(1.7, 2.6))
    return _picture(world, draw_person(world, rng), camera, rng, zoom)


@lru_cache(maxsize=64)
def person_of(world: World, kind: int, number: int) -> Person:
    """The same person in all pictures: by ``PERSON`` or ``EXTRA`` and a number."""
    return draw_person(world, world.stream(kind, number))


def _picture(world: World, person: Person, number: int, rng: np.random.Generator, zoom: float) -> Picture:
    """Paint, from far to near, what ``camera`` sees, and expose it; ``zoom`` is 0 for no person, 1 for a good box."""
    camera = camera_of(world, number)
    wide = 2 * world.width
    left = int(rng.integers(camera.backdrop.shape[1] - wide))
    lx, ly, lz = camera.light
    canvas = Canvas(
        pixels=camera.backdrop[:, left : left + wide] / np.float32(255),
        light=(lx + float(rng.normal(0.0, 0.1)), ly, lz),
        ambient=camera.ambient,
        folds=np.roll(_folds(world.seed), tuple(rng.integers(0, 64, 2).tolist()), (0, 1)),
    )
    if rng.random() < DOMAINS[world.domain].occluded:
        _passer(canvas, world, camera, rng, behind=True)
    if zoom:
        _walker(canvas, person, camera, rng, zoom)
    if rng.random() < DOMAINS[world.domain].occluded:
        if rng.random() < 0.4:
            _passer(canvas, world, camera, rng, behind=False)
        else:
            in_front(canvas, rng, camera.mood)
    return expose(camera, canvas.pixels, rng)


def _walker(canvas: Canvas, person: Person, camera: Camera, rng: np.random.Generator, zoom: float) -> None:
    high, wide = canvas.pixels.shape[:2]
    pose = _pose(camera, rng)
    scale = high * 0.96 * float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.14)) * zoom / math.cos(pose.pitch) ** 0.75
    x = wide * (0.5 + float(rng.normal(0.0, 0.045 if zoom == 1.0 else 0.22)))
    y = high * (0.5 + float(rng.normal(0.0, 0.022 if zoom == 1.0 else 0.30)))
    _stand(canvas, person, View(pose, x, y, scale))


def _passer(canvas: Canvas, world: World, camera: Camera, rng: np.random.Generator, behind: bool) -> None:
    """Someone else at the border: smaller and higher up behind, larger and lower in front."""
    high, wide = canvas.pixels.shape[:2]
    person = draw_person(world, rng)
    side = -1.0 if rng.random() < 0.5 else 1.0
    size = rng.uniform(0.45, 0.8) if behind else rng.uniform(0.92, 1.1)
    aside = rng.uniform(0.25, 0.55) if behind else rng.uniform(0.52, 0.62)
    y = high * (0.40 if behind else 0.55)
    _stand(canvas, person, View(_pose(camera, rng), wide * (0.5 + side * float(aside)), y, high * float(size)))


def _stand(canvas: Canvas, person: Person, view: View) -> None:
    x, y = view.flat((0.0, 0.02, 0.0))
    reach = view.scale * 0.16
    canvas.shade(x - canvas.light[0] * reach * 0.8, y, reach * 1.3, reach * 0.32, 0.55 * (1.0 - canvas.ambient) + 0.15)
    paint_person(canvas, person, view)


def _pose(camera: Camera, rng: np.random.Generator) -> Pose:
    walking = rng.random() < 0.85
    turned = camera.facing if rng.random() < 0.75 else camera.facing + math.pi * float(rng.uniform(0.5, 1.5))
    return Pose(
        facing=turned + float(rng.normal(0.0, camera.spread)),
        phase=float(rng.uniform(0.0, 2 * math.pi)),
        stride=float(rng.uniform(0.28, 0.52)) if walking else float(rng.uniform(0.0, 0.08)),
        elbow=float(rng.uniform(0.1, 0.7)) if rng.random() < 0.85 else 1.7,
        lean=float(rng.uniform(0.0, 0.09)),
        pitch=camera.pitch + float(rng.normal(0.0, 0.03)),
        depth=0.10 + 0.35 * camera.pitch,
    )


@lru_cache(maxsize=4)
def _folds(seed: int) -> Floats:
    """Crumpled cloth: brightness factors that vary more across a garment than along it."""
    image = require("PIL.Image", "train")
    rng = np.random.default_rng([seed, 77])
    coarse = rng.normal(1.0, 0.10, (14, 10)).astype(np.float32)
    cloth = image.fromarray(coarse).resize((64, 64), image.Resampling.BICUBIC)
    return np.clip(np.asarray(cloth, dtype=np.float32), 0.75, 1.25)
