"""Digital: brightness and contrast, elastic deformation, large pixels, JPEG."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...errors import require
from .filters import resample, smooth
from .tables import Strength


def brightness(image: torch.Tensor, strength: Strength, _: np.random.Generator) -> torch.Tensor:
    """Add to the value of HSV, hue and saturation kept; a grey image is its own value."""
    value = image.amax(dim=0, keepdim=True)
    raised = (value + strength[0]).clamp_(max=1.0)
    # at a given hue and saturation the three colours are in proportion to the value; black has no saturation
    return torch.where(value > 0, image * (raised / value.clamp_min(1e-6)), raised)


def contrast(image: torch.Tensor, strength: Strength, _: np.random.Generator) -> torch.Tensor:
    """Draw each channel towards its mean."""
    mean = image.mean(dim=(1, 2), keepdim=True)
    return torch.lerp(mean, image, strength[0])


def elastic_transform(image: torch.Tensor, strength: Strength, rng: np.random.Generator) -> torch.Tensor:
    """A random affine map, then a random smooth displacement; both interpolate linearly.

    Published for square images of one size. Of another size, images are deformed in proportion to their shorter side:
    an average of noise over sigma pixels shrinks as one over sigma, so its factor grows with the square of the side.
    """
    height, width = image.shape[-2:]
    ratio = min(height, width) / strength[3]
    size, sigma, corner = strength[0] * ratio**2, strength[1] * ratio, strength[2] * ratio
    down, right = np.indices((height, width), dtype=np.float32)
    matrix = _affine(height, width, rng.uniform(-corner, corner, (3, 2)))
    columns, rows = (row[0] * right + row[1] * down + row[2] for row in matrix)
    image = resample(image, *map(torch.from_numpy, (rows, columns)), repeat_edge=False)
    if not size:
        return image
    shifts = torch.from_numpy(rng.random((2, height, width), dtype=np.float32)) * 2 - 1
    shifts = smooth(shifts, sigma, mode="reflect", truncate=3.0) * size
    return resample(image, torch.from_numpy(down) + shifts[1], torch.from_numpy(right) + shifts[0], repeat_edge=True)


def _affine(height: int, width: int, moves: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The (2, 3) map from a pixel (x, y, 1) to where it comes from, when three points around the centre are moved.

    The authors put the points at (height, width) / 2 and read them as (x, y); squares do not mind, so here it is x, y.
    """
    x, y, side = width // 2, height // 2, min(height, width) // 3
    points = np.array([[x + side, y + side], [x + side, y - side], [x - side, y - side]], dtype=np.float64)
    moved = np.column_stack([points + moves, np.ones(3)])
    back: npt.NDArray[np.float32] = np.linalg.solve(moved, points).T.astype(np.float32)
    return back


def pixelate(image: torch.Tensor, strength: Strength, _: np.random.Generator) -> torch.Tensor:
    """Shrink and enlarge, both with Pillow's box filter."""
    box = require("PIL.Image", "train").Resampling.BOX
    height, width = image.shape[-2:]
    small = _picture(image).resize((int(width * strength[0]), int(height * strength[0])), box)
    return _pixels(small.resize((width, height), box))


def jpeg_compression(image: torch.Tensor, strength: Strength, _: np.random.Generator) -> torch.Tensor:
    """Write and read a JPEG file with Pillow's defaults but for the quality; grey images have no colour to write."""
    pillow = require("PIL.Image", "train")
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=int(strength[0]))
    return _pixels(pillow.open(file, formats=("JPEG",)))


def _picture(image: torch.Tensor) -> Any:
    levels = (image.numpy() * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return require("PIL.Image", "train").fromarray(levels[0] if len(levels) == 1 else np.dstack(list(levels)))


def _pixels(picture: Any) -> torch.Tensor:
    levels = np.atleast_3d(np.asarray(picture))
    return torch.from_numpy(levels.transpose(2, 0, 1).astype(np.float32, order="C")).div_(255)
