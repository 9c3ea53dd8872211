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
from .folder import FolderPixels, find_images, read_folder

#: Debian's package dataset-fashion-mnist puts the IDX files here.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FASHION_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
#: The splits are part of a data set's definition: they never depend on a training seed.
SPLIT_SEED = 0

Pixels = torch.Tensor | FolderPixels


class Sample(NamedTuple):
    """One item: pixels float32 (C, H, W) in [0, 1], class, weight in the loss, row in the data set."""

    image: torch.Tensor
    label: int
    weight: float
    row: int


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
        """Mean and standard deviation a channel, of up to ``count`` images in [0, 1]."""
        some = torch.stack([self[i].image for i in range(0, len(self), max(1, len(self) // count))])
        std, mean = torch.std_mean(some, dim=(0, 2, 3))
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
    if name not in DATASETS:
        raise FeatmaskError(f"unknown data set {name!r}; expected one of: {', '.join(DATASETS)}")
    table = DATASETS[name](None if root is None else Path(root).expanduser(), size)
    if len(table.classes) < 2:
        raise FeatmaskError(f"data set {name!r} has the one class {table.classes}; classification needs two or more")
    if not sample_weights:
        table.weights = None
    train, held_out = table.train, table.validation
    if held_out is None:
        train, held_out = _split(train, table.strata, validation)
    if train_share < 1:
        _, train = _split(train, table.strata, train_share)
    return Splits(
        name=name,
        train=Images(table, train, _augmentation(augment, int(table.pixels[int(train[0])].shape[-1]))),
        validation=Images(table, held_out),
        test=Images(table, table.test),
        classes=table.classes,
    )


def _split(
    rows: npt.NDArray[np.int64], strata: npt.NDArray[Any], share: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    selection = require("sklearn.model_selection", "train")
    try:
        first, second = selection.train_test_split(
            rows, test_size=share, stratify=strata[rows], random_state=SPLIT_SEED
        )
    except ValueError as error:
        raise FeatmaskError(f"cannot hold out a share of {share} of {len(rows)} images, by class: {error}") from error
    return np.sort(first), np.sort(second)


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


def _resized(images: torch.Tensor, size: int | None) -> torch.Tensor:
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
    train, test = _split(np.arange(len(images)), strata, 0.25)
    return Table(
        pixels=_resized(torch.from_numpy(images)[:, None], size),
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
        if root is None:
            folder = _download_fashion_mnist()
        else:
            raise FeatmaskError(f"no Fashion-MNIST in {root}: expected the files {', '.join(FASHION_FILES)}, each .gz")
    parts = [_idx(read, folder / f"{name}.gz") for name in FASHION_FILES]
    images, labels = torch.cat([parts[0], parts[2]]), torch.cat([parts[1], parts[3]]).numpy().astype(np.int64)
    rows = np.arange(len(labels))
    return Table(
        pixels=_resized(images[:, None], size),
        labels=labels,
        classes=FASHION_CLASSES,
        train=rows[: len(parts[0])],
        test=rows[len(parts[0]) :],
        strata=labels,
    )


def _idx(read: Any, path: Path) -> torch.Tensor:
    import gzip
    import tempfile

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
    raw = require("sklearn.datasets", "train").load_digits()
    pixels = torch.from_numpy((raw.images * (255 / 16)).round().astype(np.uint8))[:, None]
    labels = raw.target.astype(np.int64)
    train, test = _split(np.arange(len(labels)), labels, 0.25)
    return Table(_resized(pixels, size), labels, tuple(str(digit) for digit in range(10)), train, test, labels)


def _imagefolder(root: Path | None, size: int | None) -> Table:
    """The user's own photographs: ``root/train/<class>/*`` and ``root/test/<class>/*`` (``val`` if there is one), or
    ``root/<class>/*``, then split 75/25 by class.
    """
    if root is None or size is None:
        raise FeatmaskError("data set 'imagefolder' needs data.root (a folder) and data.size (pixels)")
    found = find_images(root)
    labels = np.array(found.labels, dtype=np.int64)
    pixels = read_folder(found.paths, size)
    if found.parts is None:
        train, test = _split(np.arange(len(labels)), labels, 0.25)
        return Table(pixels, labels, found.classes, train, test, labels)
    part = np.array(found.parts)
    held_out = np.flatnonzero(part == "val")
    return Table(
        pixels,
        labels,
        found.classes,
        train=np.flatnonzero(part == "train"),
        test=np.flatnonzero(part == "test"),
        strata=labels,
        validation=held_out if len(held_out) else None,
    )


DATASETS: dict[str, Callable[[Path | None, int | None], Table]] = {
    "elpv": _elpv,
    "fashion_mnist": _fashion_mnist,
    "digits": _digits,
    "imagefolder": _imagefolder,
}
