"""A re-identification set made of real photographs, to try the whole path on images that featmask did not render.

    python benchmarks/photos_reid.py FOLDER [--train 120] [--test 80] [--seed 0]

Writes FOLDER in the Market-1501 layout from the ELPV photographs (pip: elpv-dataset). A polycrystalline solar cell
plays a person, its grain is its face; a "camera" is a way of looking at it: which part of the cell, how bright, how
sharp, how noisy, how strongly compressed. A fifth of the cells of the gallery are distractors (0000), and some boxes
show an edge alone (-1, junk). Figures on it say nothing about persons; that training, scores, attacks and pictures fit
together, they do say.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from elpv_dataset.utils import load_dataset
from PIL import Image, ImageFilter

CAMERAS = {  # left, top (share of the free room), brightness, blur, noise, JPEG quality
    1: (0.15, 0.20, 0.80, 0.0, 2.0, 92),
    2: (0.55, 0.25, 0.95, 0.8, 4.0, 80),
    3: (0.35, 0.60, 0.60, 0.5, 7.0, 70),
    4: (0.75, 0.50, 0.85, 1.3, 3.0, 60),
}
BOX = (240, 160)
SHOTS = 3


def shot(cell: np.ndarray, camera: int, rng: np.random.Generator, edge: bool = False) -> Image.Image:
    """What a camera sees of a cell; ``edge``: a strip along its border."""
    left, top, gain, blur, noise, _ = CAMERAS[camera]
    height, width = (300, 24) if edge else BOX
    x = 0 if edge else int(np.clip(left + rng.normal(0, 0.06), 0, 1) * (300 - width))
    y = int(np.clip(top + rng.normal(0, 0.06), 0, 1) * (300 - height))
    box = cell[y : y + height, x : x + width].astype(float) * gain * rng.uniform(0.93, 1.07)
    box = np.clip(box + rng.normal(0, noise, box.shape), 0, 255).astype(np.uint8)
    image = Image.fromarray(box).convert("RGB").resize((64, 128), Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.GaussianBlur(blur)) if blur else image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=120, help="cells to learn from")
    parser.add_argument("--test", type=int, default=80, help="cells to search for")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    cells, _, kinds = load_dataset()
    cells = cells[kinds == "poly"]  # monocrystalline cells look alike
    distractors = arguments.test // 5
    chosen = rng.choice(len(cells), arguments.train + arguments.test + distractors, replace=False)
    parts = {name: arguments.folder / name for name in ("bounding_box_train", "query", "bounding_box_test")}
    for folder in parts.values():
        folder.mkdir(parents=True)
    for number, cell in enumerate(cells[chosen]):
        learned, distractor = number < arguments.train, number >= arguments.train + arguments.test
        pid = 0 if distractor else number + 1
        for camera, (*_, quality) in CAMERAS.items():
            for place in range(SHOTS + 1):
                asked = place == 0 and not learned and not distractor
                if place == 0 and not asked:
                    continue
                folder = parts["bounding_box_train" if learned else "query" if asked else "bounding_box_test"]
                name = f"{pid:04d}_c{camera}s1_{number:06d}_{place:02d}.jpg"
                shot(cell, camera, rng).save(folder / name, quality=quality)
        if not learned and number % 4 == 0:
            name = f"-1_c{number % 4 + 1}s1_{number:06d}_00.jpg"
            shot(cell, number % 4 + 1, rng, edge=True).save(parts["bounding_box_test"] / name, quality=80)
    print(arguments.folder)


if __name__ == "__main__":
    main()
