"""Image classification data: read, split the same way every time, held as 8-bit pixels until a batch needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from ..errors import FeatmaskError, require
from .tables import SPLIT_SEED, TABLES, Table, split


class Sample(NamedTuple):
    """One item: pixels float32 (C, H, W) in [0, 1], class, weight in the loss, row in the data set."""

    image: torch.Tensor
    label: int
    weight: float
    row: int


class Images(Dataset[Sample]):
    """Some rows of a table, with an optional augmentation of the 8-bit pixels."""

    def __init__(self, table: Table, rows: npt.NDArray[np.int64], augment: Callable[..., Any] | None = None) -> None:
        self.table, self.rows, self.augment = table, rows, augment

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> Sample:
        row = int(self.rows[position])
        image = self.table.pixels[row]
        if self.augment is not None:
            image = self.augment(image)
        weight = 1.0 if self.table.weights is None else float(self.table.weights[row])
        return Sample(image.to(torch.float32) / 255, int(self.table.labels[row]), weight, row)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The labels of these rows, in order."""
        return self.table.labels[self.rows]

    def head(self, count: int) -> Images:
        """The first ``count`` rows of a shuffle that never changes, classes as they fall; all if there are fewer."""
        order = np.random.default_rng(SPLIT_SEED).permutation(len(self.rows))[:count]
        return Images(self.table, self.rows[np.sort(order)], self.augment)

    def statistics(self, count: int = 512) -> tuple[list[float], list[float]]:
        """Mean and standard deviation per channel, of up to ``count`` images in [0, 1], not augmented."""
        plain = Images(self.table, self.rows)
        some = torch.stack([plain[i].image for i in range(0, len(plain), max(1, len(plain) // count))])
        return channel_statistics(some)


def channel_statistics(images: torch.Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of images (N, C, H, W)."""
    std, mean = torch.std_mean(images, dim=(0, 2, 3))
    return mean.tolist(), std.clamp_min(1e-3).tolist()


@dataclass(frozen=True)
class Splits:
    """A data set in three parts. Test data is for the final figures only; choices are made on ``validation``."""

    name: str
    train: Images
    validation: Images
    test: Images
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return int(self.train[0].image.shape[0])


def load_images(
    name: str,
    *,
    root: str | Path | None = None,
    size: int | None = None,
    augment: Sequence[str] = (),
    validation: float = 0.1,
    train_share: float = 1.0,
    sample_weights: bool = False,
) -> Splits:
    """Read a data set and split it.

    Args:
        name: ``elpv``, ``fashion_mnist``, ``digits`` or ``imagefolder``.
        root: where the files are; needed for ``imagefolder``.
        size: images are resized to size x size pixels; None keeps them (``imagefolder`` needs a size).
        augment: any of ``flip``, ``vflip``, ``rotate90``, ``shift`` (crop after padding by an eighth); training only.
        validation: share of the training part that is held out, stratified.
        train_share: share of the rest that is used for training, stratified (for studies of small training sets).
        sample_weights: weigh samples by how sure their label is, where the data say (elpv).

    Raises:
        FeatmaskError: unknown name, missing or unreadable files, fewer than two classes, a library not installed.
    """
    if name not in TABLES:
        raise FeatmaskError(f"unknown data set {name!r}; expected one of: {', '.join(TABLES)}")
    table = TABLES[name](None if root is None else Path(root).expanduser(), size)
    if len(table.classes) < 2:
        raise FeatmaskError(f"data set {name!r} has the one class {table.classes}; classification needs two or more")
    if not sample_weights:
        table.weights = None
    train, held_out = table.train, table.validation
    if held_out is None:
        train, held_out = split(train, table.strata, validation)
    if train_share < 1:
        _, train = split(train, table.strata, train_share)
    return Splits(
        name=name,
        train=Images(table, train, _augmentation(augment, int(table.pixels[int(train[0])].shape[-1]))),
        validation=Images(table, held_out),
        test=Images(table, table.test),
        classes=table.classes,
    )


def _augmentation(names: Sequence[str], size: int) -> Callable[..., Any] | None:
    v2 = require("torchvision.transforms.v2", "train")
    makers: dict[str, Callable[[], Any]] = {
        "flip": v2.RandomHorizontalFlip,
        "vflip": v2.RandomVerticalFlip,
        "rotate90": lambda: v2.RandomChoice([v2.RandomRotation((angle, angle)) for angle in (0, 90, 180, 270)]),
        "shift": lambda: v2.RandomCrop(size, padding=max(1, size // 8), padding_mode="reflect"),
    }
    unknown = [name for name in names if name not in makers]
    if unknown:
        raise FeatmaskError(f"unknown augmentation {unknown}; expected some of: {', '.join(makers)}")
    return v2.Compose([makers[name]() for name in names]) if names else None
