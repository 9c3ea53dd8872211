"""The data sets by name: each is read into one table of pixels and labels."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import FeatmaskError, require
from .folder import find_images, read_folder
from .pixels import Pixels

#: Debian's package dataset-fashion-mnist puts the IDX files here.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FASHION_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
#: The splits are part of a data set's definition: they never depend on a training seed.
SPLIT_SEED = 0


@dataclass
class Table:
    """Everything that was read, before it is split: pixels, labels, and which rows are which."""

    pixels: Pixels
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    train: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    strata: npt.NDArray[Any]
    validation: npt.NDArray[np.int64] | None = None
    weights: npt.NDArray[np.float64] | None = None


def split(
    rows: npt.NDArray[np.int64], strata: npt.NDArray[Any], share: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Two stratified parts, the second with ``share`` of the rows; both in ascending order."""
    selection = require("sklearn.model_selection", "train")
    try:
        first, second = selection.train_test_split(
            rows, test_size=share, stratify=strata[rows], random_state=SPLIT_SEED
        )
    except ValueError as error:
        raise FeatmaskError(f"cannot hold out a share of {share} of {len(rows)} images, by class: {error}") from error
    return np.sort(first), np.sort(second)


def resized(images: torch.Tensor, size: int | None) -> torch.Tensor:
    """Images (..., H, W) as squares of ``size``; None keeps them."""
    if size is None or images.shape[-2:] == (size, size):
        return images
    functional = require("torchvision.transforms.v2.functional", "train")
    out: torch.Tensor = functional.resize(images, [size, size], antialias=True)
    return out


def _elpv(root: Path | None, size: int | None) -> Table:
    """Photographs of solar cells, 300 x 300 (Buerhop-Lutz et al. 2018); defective where the probability is over 1/2.

    Split 75/25, stratified by probability and module type, as Deitsch et al. 2019 do.
    """
    utils = require("elpv_dataset.utils", "elpv")
    images, probabilities, types = utils.load_dataset(None if root is None else str(root / "labels.csv"))
    strata = np.char.add(np.char.mod("%.2f ", probabilities), types)
    train, test = split(np.arange(len(images)), strata, 0.25)
    return Table(
        pixels=resized(torch.from_numpy(images)[:, None], size),
        labels=(probabilities > 0.5).astype(np.int64),
        classes=("functional", "defective"),
        train=train,
        test=test,
        strata=strata,
        # 1 for the sure labels (0 and 1), 1/3 for the doubtful ones (1/3 and 2/3)
        weights=np.abs(2 * probabilities - 1),
    )


def _fashion_mnist(root: Path | None, size: int | None) -> Table:
    """70,000 pictures of clothes, 28 x 28 (Xiao et al. 2017), with the published test part."""
    folder = root if root is not None else DEBIAN_FASHION_MNIST
    read = require("torchvision.datasets.mnist", "train")
    if not all((folder / f"{name}.gz").is_file() for name in FASHION_FILES):
        if root is not None:
            raise FeatmaskError(f"no Fashion-MNIST in {root}: expected the files {', '.join(FASHION_FILES)}, each .gz")
        folder = _download_fashion_mnist()
    parts = [_idx(read, folder / f"{name}.gz") for name in FASHION_FILES]
    images, labels = torch.cat([parts[0], parts[2]]), torch.cat([parts[1], parts[3]]).numpy().astype(np.int64)
    rows = np.arange(len(labels))
    return Table(
        pixels=resized(images[:, None], size),
        labels=labels,
        classes=FASHION_CLASSES,
        train=rows[: len(parts[0])],
        test=rows[len(parts[0]) :],
        strata=labels,
    )


def _idx(read: Any, path: Path) -> torch.Tensor:
    # torchvision reads IDX from plain files
    try:
        with tempfile.NamedTemporaryFile() as plain, gzip.open(path) as packed:
            plain.write(packed.read())
            plain.flush()
            tensor: torch.Tensor = read.read_sn3_pascalvincent_tensor(plain.name)
    except (OSError, EOFError, ValueError) as error:
        raise FeatmaskError(f"cannot read {path}: {error}") from error
    return tensor


def _download_fashion_mnist() -> Path:
    cache = Path.home() / ".cache" / "featmask"
    try:
        require("torchvision.datasets", "train").FashionMNIST(cache, download=True)
    except Exception as error:  # whatever the network says, the user must know what to do
        raise FeatmaskError(
            "Fashion-MNIST is not here and cannot be downloaded; on Debian install the package dataset-fashion-mnist, "
            f"or give the folder of the four .gz files as data.root ({error})"
        ) from error
    return cache / "FashionMNIST" / "raw"


def _digits(root: Path | None, size: int | None) -> Table:
    """1,797 handwritten digits, 8 x 8 (scikit-learn): for tests and smoke runs."""
    if root is not None:
        raise FeatmaskError(f"data set 'digits' comes with scikit-learn and takes no data.root, got {root}")
    raw = require("sklearn.datasets", "train").load_digits()
    pixels = torch.from_numpy((raw.images * (255 / 16)).round().astype(np.uint8))[:, None]
    labels = raw.target.astype(np.int64)
    train, test = split(np.arange(len(labels)), labels, 0.25)
    return Table(resized(pixels, size), labels, tuple(str(digit) for digit in range(10)), train, test, labels)


def _imagefolder(root: Path | None, size: int | None) -> Table:
    """The user's own photographs: ``root/train/<class>/*`` and ``root/test/<class>/*`` (``val`` if there is one), or
    ``root/<class>/*``, then split 75/25 by class.
    """
    if root is None or size is None:
        raise FeatmaskError("data set 'imagefolder' needs data.root (a folder) and data.size (pixels)")
    images = find_images(root)
    labels = np.array(images.labels, dtype=np.int64)
    pixels = read_folder(images.paths, size)
    if images.parts is None:
        train, test = split(np.arange(len(labels)), labels, 0.25)
        return Table(pixels, labels, images.classes, train, test, labels)
    train, test, held_out = (np.flatnonzero(np.array(images.parts) == part) for part in ("train", "test", "val"))
    return Table(pixels, labels, images.classes, train, test, labels, held_out if len(held_out) else None)


TABLES: dict[str, Callable[[Path | None, int | None], Table]] = {
    "elpv": _elpv,
    "fashion_mnist": _fashion_mnist,
    "digits": _digits,
    "imagefolder": _imagefolder,
}
