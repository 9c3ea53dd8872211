"""The command line as a user calls it, and a small set of people drawn by hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

#: Images of the recipe below.
HEIGHT, WIDTH = 48, 24
TINY = """
name: tiny
task: reid
data: {name: synthetic, height: 48, width: 24, world: {train_ids: 12, test_ids: 6, cameras: 3, shots: 2, distractors: 4,
  junk: 3, height: 48, width: 24}}
model: {name: resnet8}
train: {epochs: 2, batch_size: 16, images_per_person: 4, optimizer: adam, lr: 0.002, tensorboard: false,
  losses: {cross_entropy: , triplet: }}
methods: {none: , lfm: }
evaluate: {suites: [clean, reranked], flip: false, rerank: {k1: 6, k2: 3}, steps: 4}
"""


def featmask(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own; a new one costs seconds, so see also the fixtures ``call`` and ``fails``."""
    return subprocess.run(
        [sys.executable, "-m", "featmask.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        check=False,
    )


def draw_market(root: Path) -> Path:
    """The Market layout in JPEG: 4 persons to learn, 5 to find by 3 cameras, one distractor, one piece of junk."""
    for pid in (2, 4, 6, 8):
        for camera, shot in ((1, 0), (1, 1), (2, 0), (2, 1)):
            draw(root / "bounding_box_train", pid, camera, shot)
    for pid in (1, 3, 5, 7, 9):
        draw(root / "query", pid, 1, 0)
        for camera in (1, 2, 3):
            draw(root / "bounding_box_test", pid, camera, 1)
    draw(root / "bounding_box_test", 0, 1, 1)
    draw(root / "bounding_box_test", -1, 2, 1)
    return root


def draw(folder: Path, pid: int, camera: int, shot: int) -> None:
    """A head, a shirt and trousers of the person's colours, somewhere near the middle."""
    from PIL import Image, ImageDraw

    clothes = [tuple(row) for row in np.random.default_rng(pid + 100).integers(0, 256, (2, 3)).tolist()]
    left = 10 + int(np.random.default_rng([pid + 1, camera, shot]).integers(-3, 4))
    picture = Image.new("RGB", (32, 64), (90 + 25 * camera, 110, 120))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((left + 2, 6, left + 10, 16), fill=(200, 160, 130))
    pen.rectangle((left, 16, left + 12, 38), fill=clothes[0])
    pen.rectangle((left + 1, 38, left + 11, 60), fill=clothes[1])
    folder.mkdir(parents=True, exist_ok=True)
    name = "-1" if pid < 0 else f"{pid:04d}"
    picture.save(folder / f"{name}_c{camera}s1_{shot:06d}_01.jpg", quality=92)


def files(root: Path, part: str) -> list[Path]:
    """Of one part of a set, in the order that it is read in."""
    return sorted((root / part).iterdir())


def who(path: Path) -> tuple[int, int]:
    """Person and camera by a file's name."""
    pid, camera = re.match(r"(-?\d+)_c(\d+)", path.name).groups()
    return int(pid), int(camera)
