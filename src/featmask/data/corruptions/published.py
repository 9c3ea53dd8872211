"""Read published folders of corrupted images: CIFAR-10-C and ImageNet-C."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...errors import FeatmaskError, listed
from ..folder import images_among, read_folder, subfolders
from ..photos import Photos
from ..pixels import Pixels
from ..tables import resized
from .tables import CORRUPTIONS, SEVERITIES

#: The published archives hold four more, meant for choosing hyper-parameters.
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
_KNOWN = CORRUPTIONS + EXTRA
#: The archives of ImageNet-C are one per group, and some people keep the folders that they unpack to.
_ARCHIVES = ("noise", "blur", "weather", "digital", "extra")
#: Side of the published images of ImageNet-C.
_IMAGENET_SIDE = 224


class CorruptedSet:
    """A published set of corrupted images.

    Attributes:
        name: ``cifar10-c`` (``cifar100-c`` where labels go beyond 9) or ``imagenet-c``.
        kinds: the corruptions that are there, in the published order.
        severities: those that are there, of 1 to 5.
        table: whose constants made the images, ``cifar`` or ``imagenet``.
        classes: names by label; empty where neither folders nor the caller names them.
    """

    name: str
    kinds: tuple[str, ...]
    severities: tuple[int, ...]
    table: str
    classes: tuple[str, ...]

    def images(self, kind: str, severity: int) -> Photos:
        """The images of one corruption at one severity.

        Items are `Sample`: float32 (3, H, W) in [0, 1], label, weight 1, row. A row is the same photograph in every
        kind and severity.

        Raises:
            FeatmaskError: a kind or severity that is not there, files that cannot be read, or other photographs than
                in the sets that were read before.
        """
        if kind not in self.kinds:
            raise FeatmaskError(f"no corruption {kind!r} in this {self.name}; there are: {', '.join(self.kinds)}")
        if severity not in self.severities:
            raise FeatmaskError(f"no severity {severity!r} in this {self.name}; there are: {self.severities}")
        return self._images(kind, int(severity))

    def _images(self, kind: str, severity: int) -> Photos:
        raise NotImplementedError


def open_corrupted(root: str | Path, classes: Sequence[str] | None = None, size: int | None = None) -> CorruptedSet:
    """Open a folder of CIFAR-10-C (``<corruption>.npy`` and labels.npy) or ImageNet-C
    (``<corruption>/<severity>/<class>/*.JPEG``, also below the archives' names, ``blur/defocus_blur/...``).

    Args:
        root: the folder.
        classes: the names of the labels, in order. By default ImageNet-C's class folders, sorted.
        size: images are resized to size x size pixels; None keeps the published 32 and 224.

    Raises:
        FeatmaskError: no such folder, neither layout, or parts that are missing or do not fit, all of them listed.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise FeatmaskError(f"no folder {folder}; expected one of CIFAR-10-C or ImageNet-C")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise FeatmaskError(f"size: expected a number of pixels, got {size!r}")
    if any((folder / f"{kind}.npy").is_file() for kind in _KNOWN):
        return _Cifar(folder, classes, size)
    folders = _folders(folder)
    if folders:
        return _ImageNet(folder, folders, classes, size)
    raise FeatmaskError(
        f"no corrupted images in {folder}; expected CIFAR-10-C's files ({CORRUPTIONS[0]}.npy and so on, labels.npy) or "
        f"ImageNet-C's folders ({CORRUPTIONS[0]}/1/<class>/*.JPEG and so on)"
    )


class _Block:
    """Some rows of an array on disk, as 8-bit (3, H, W) tensors."""

    def __init__(self, array: npt.NDArray[np.uint8], size: int | None) -> None:
        self.array, self.size = array, size

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, row: int, /) -> torch.Tensor:
        return resized(torch.from_numpy(np.array(self.array[row])).permute(2, 0, 1), self.size).contiguous()


class _Cifar(CorruptedSet):
    """Arrays of five blocks of the same images, one per severity."""

    def __init__(self, root: Path, classes: Sequence[str] | None, size: int | None) -> None:
        self.root, self.size = root, size
        self.kinds = tuple(kind for kind in _KNOWN if (root / f"{kind}.npy").is_file())
        self.severities, self.table, self.classes = SEVERITIES, "cifar", tuple(classes or ())
        file = root / "labels.npy"
        if not file.is_file():
            raise FeatmaskError(f"no labels.npy in {root}, beside {', '.join(f'{kind}.npy' for kind in self.kinds)}")
        labels = _array(file)
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or not len(labels) or len(labels) % 5:
            raise FeatmaskError(
                f"{file}: expected a whole number per image, in 5 blocks of one length; "
                f"got {labels.dtype} {labels.shape}"
            )
        blocks = labels.astype(np.int64).reshape(5, -1)
        if (blocks != blocks[0]).any():
            raise FeatmaskError(f"{file}: expected the same labels in each of the 5 blocks")
        self.labels, highest = blocks[0], int(blocks.max())
        if blocks.min() < 0 or (self.classes and highest >= len(self.classes)):
            named = f", but {len(self.classes)} classes are named" if self.classes else ""
            raise FeatmaskError(f"{file}: labels go from {blocks.min()} to {highest}{named}")
        self.name = "cifar10-c" if highest < 10 else "cifar100-c"
        faults = [fault for kind in self.kinds if (fault := self._fault(kind))]
        if faults:
            raise FeatmaskError(f"files in {root} do not fit labels.npy ({len(labels)} labels):{listed(faults)}")

    def _fault(self, kind: str) -> str | None:
        try:
            array = _array(self.root / f"{kind}.npy")
        except FeatmaskError as error:
            return str(error)
        expected = (5 * len(self.labels), *array.shape[1:3], 3)
        if array.dtype == np.uint8 and array.ndim == 4 and array.shape == expected:
            return None
        return f"{kind}.npy: expected uint8 ({expected[0]}, H, W, 3), got {array.dtype} {array.shape}"

    def _images(self, kind: str, severity: int) -> Photos:
        count = len(self.labels)
        block = _array(self.root / f"{kind}.npy")[(severity - 1) * count : severity * count]
        return Photos(_Block(block, self.size), self.labels)


def _array(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FeatmaskError(f"cannot read {path}: {error}") from error
    return array


class _ImageNet(CorruptedSet):
    """A folder of photographs per corruption, severity and class."""

    def __init__(self, root: Path, folders: dict[str, Path], classes: Sequence[str] | None, size: int | None) -> None:
        self.folders, self.size = folders, _IMAGENET_SIDE if size is None else size
        self.name, self.table, self.kinds = "imagenet-c", "imagenet", tuple(folders)
        self.severities = tuple(s for s in SEVERITIES if any((f / str(s)).is_dir() for f in folders.values()))
        if not self.severities:
            raise FeatmaskError(f"no folders 1 to 5 in {listed([str(folder) for folder in folders.values()])}")
        parts = [folder / str(severity) for folder in folders.values() for severity in self.severities]
        found = {part: set(subfolders(part)) if part.is_dir() else None for part in parts}
        named = set().union(*(names for names in found.values() if names))
        self.present = sorted(named)
        self.classes = tuple(self.present if classes is None else classes)
        unknown = sorted(named - set(self.classes))
        if not named:
            place = f"{self.kinds[0]}/{self.severities[0]}/<class>/*.JPEG"
            raise FeatmaskError(f"no class folders in {root}; expected {place}")
        if unknown:
            outside = f"{len(unknown)} class folders are not among the {len(self.classes)} classes"
            raise FeatmaskError(f"{root}: {outside}:{listed(unknown)}")
        missing = [f"{folder}" for folder, names in found.items() if names is None]
        missing += [f"{folder / name}" for folder, names in found.items() if names for name in sorted(named - names)]
        missing += [f"{folder}: every class" for folder, names in found.items() if names is not None and not names]
        if missing:
            raise FeatmaskError(f"{root} lacks {len(missing)} folders that its other parts have:{listed(missing)}")
        self._first: tuple[str, list[str]] | None = None

    def _images(self, kind: str, severity: int) -> Photos:
        folder = self.folders[kind] / str(severity)
        labels, paths = [], []
        for name in self.present:
            images = images_among((folder / name).iterdir())
            paths += images
            labels += [self.classes.index(name)] * len(images)
        if not paths:
            raise FeatmaskError(f"no images in the class folders of {folder}; expected *.JPEG, *.jpg or *.png")
        names = [f"{path.parent.name}/{path.stem}" for path in paths]
        first, others = self._first or (str(folder), names)
        if names != others:
            odd = sorted(set(names) ^ set(others))
            raise FeatmaskError(f"{folder} and {first} do not hold the same photographs:{listed(odd)}")
        self._first = first, others
        pixels: Pixels = read_folder(paths, self.size)
        return Photos(pixels, np.array(labels, dtype=np.int64))


def _folders(root: Path) -> dict[str, Path]:
    """Folders by corruption, in the published order."""
    places = [root, *(root / archive for archive in _ARCHIVES)]
    return {kind: place / kind for kind in _KNOWN for place in places if (place / kind).is_dir()}
