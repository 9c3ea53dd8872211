"""Photographs of people as training sees them: 8-bit pixels, augmented anew at every visit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import pad
from torch.utils.data import Dataset

from ..errors import FeatmaskError, require
from .grey import ASPECT, SHARE, grey_patches
from .images import Sample, channel_statistics
from .pixels import LatePixels, Pixels

#: Rectangles that are drawn before an image is left whole, as in random erasing's published code; one in two or more
#: fits a pedestrian.
_TRIES = 100


def stretch(path: Path, height: int, width: int) -> torch.Tensor:
    """Read an image as 8-bit (3, height, width): all of it, bicubic, its aspect not kept.

    The pixels are those of torchvision's ``Resize((height, width), interpolation=3)`` on a Pillow image, the first step
    of layumi's and most other re-identification pipelines.

    Raises:
        MissingExtraError: Pillow is not installed.
        Exception: whatever Pillow raises for a file that it cannot read.
    """
    image = require("PIL.Image", "train")
    with image.open(path) as handle:
        resized = handle.convert("RGB").resize((width, height), image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


@dataclass(frozen=True)
class Augment:
    """What is random about a training image, in the order in which it happens.

    Attributes:
        pad: zeros on every side, in pixels, of which a crop of the image's size is cut at random; 10 is usual.
        flip: probability of a mirror image.
        jitter: strength s of torchvision's ColorJitter: brightness, contrast and saturation by a factor of 1 - s to
            1 + s, the hue by -s/4 to s/4 of the circle.
        grey_patch: probability that one rectangle turns grey (local greyscale patch replacement, LGPR, Gong
            et al. 2021).
        erasing: probability that one rectangle, 2 to 40 % of the image, takes the mean colour, which is 0 after
            normalisation (random erasing, Zhong et al. 2017; 0.5 is usual).

    Raises:
        FeatmaskError: a value out of its range.
    """

    flip: float = 0.5
    pad: int = 0
    jitter: float = 0.0
    erasing: float = 0.0
    grey_patch: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "jitter", "erasing", "grey_patch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                kind = "a strength" if name == "jitter" else "a probability"
                raise FeatmaskError(f"{name}: expected {kind} from 0 to 1, got {value!r}")
        if isinstance(self.pad, bool) or not isinstance(self.pad, int) or self.pad < 0:
            raise FeatmaskError(f"pad: expected a whole number of pixels, 0 or more; got {self.pad!r}")


class Photos(Dataset[Sample]):
    """Images with whole-number labels, augmented by torch's global random numbers.

    Items are `Sample`: float32 (3, H, W) in [0, 1], label, weight 1, row.

    Args:
        pixels: 8-bit (3, H, W) by row.
        labels: (N,) whole numbers: classes in training, persons elsewhere.
        augment: None for the images as they are.
        mean: per channel, in [0, 1]: what erasing writes. Give the one that the model normalises with.

    Raises:
        FeatmaskError: not one label per image, or erasing without a mean of 3 channels.
    """

    def __init__(
        self,
        pixels: Pixels,
        labels: npt.NDArray[np.int64],
        augment: Augment | None = None,
        mean: Sequence[float] | None = None,
    ) -> None:
        if labels.shape != (len(pixels),):
            raise FeatmaskError(f"expected one label for each of {len(pixels)} images, got the shape {labels.shape}")
        if augment is not None and augment.erasing and (mean is None or len(mean) != 3):
            raise FeatmaskError(f"erasing writes the mean colour: expected a mean of 3 channels, got {mean!r}")
        self.pixels, self.labels, self.augment = pixels, labels, augment
        self._fill = torch.tensor([] if mean is None else list(mean), dtype=torch.float32)[:, None, None]
        self._jitter: Callable[[torch.Tensor], Any] | None = None
        if augment is not None and augment.jitter:
            s = augment.jitter
            self._jitter = require("torchvision.transforms.v2", "train").ColorJitter(s, s, s, s / 4)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> Sample:
        image = self.pixels[row]
        augment = self.augment
        if augment is None:
            return Sample(_real(image), int(self.labels[row]), 1.0, row)
        chance = torch.rand(5).tolist()
        if augment.pad:
            top, left = (int(u * (2 * augment.pad + 1)) for u in chance[:2])
            height, width = image.shape[-2:]
            image = pad(image, (augment.pad,) * 4)[:, top : top + height, left : left + width]
        if chance[2] < augment.flip:
            image = image.flip(-1)
        if self._jitter is not None:
            image = self._jitter(image)
        image = _real(image)
        if chance[3] < augment.grey_patch:
            image = grey_patches(image[None])[0]
        if chance[4] < augment.erasing:
            _erase(image, self._fill)
        return Sample(image, int(self.labels[row]), 1.0, row)

    def uint8(self, row: int) -> torch.Tensor:
        """An image as it was read, 8-bit (3, H, W), for pictures."""
        return self.pixels[row]

    def load(self) -> Photos:
        """Read the pixels now, once for all workers of a data loader, where they are read at first use.

        Raises:
            FeatmaskError: images that cannot be read, all of them listed up to ten.
        """
        if isinstance(self.pixels, LatePixels):
            self.pixels.load()
        return self

    def with_augment(self, augment: Augment | None, mean: Sequence[float] | None = None) -> Photos:
        """The same images, which are not read again, with another augmentation."""
        return Photos(self.pixels, self.labels, augment, mean)

    def statistics(self, count: int = 512) -> tuple[list[float], list[float]]:
        """Mean and standard deviation per channel, of up to ``count`` images in [0, 1], not augmented."""
        some = torch.stack([self.pixels[row] for row in range(0, len(self), max(1, math.ceil(len(self) / count)))])
        return channel_statistics(_real(some))


def _real(image: torch.Tensor) -> torch.Tensor:
    return image.to(torch.float32).div_(255)  # of a new tensor: what was read stays as it is


def _erase(image: torch.Tensor, fill: torch.Tensor) -> None:
    height, width = image.shape[-2:]
    for _ in range(_TRIES):
        share, ratio, down, right = torch.rand(4).tolist()
        area = (SHARE[0] + (SHARE[1] - SHARE[0]) * share) * height * width
        aspect = ASPECT[0] + (ASPECT[1] - ASPECT[0]) * ratio
        tall, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < tall < height and 0 < wide < width:
            top, left = int(down * (height - tall + 1)), int(right * (width - wide + 1))
            image[:, top : top + tall, left : left + wide] = fill
            return
