"""A user's own folder of images: found, checked, and read without surprises."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from ..errors import FeatmaskError, require
from .pixels import FilePixels, read_pixels

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


class FolderImages(NamedTuple):
    """Images below a folder, with their classes and, where the folder says so, their part (train, val, test)."""

    paths: list[Path]
    labels: list[int]
    classes: tuple[str, ...]
    parts: list[str] | None


def find_images(root: Path) -> FolderImages:
    """List the images of ``root/<part>/<class>/`` or ``root/<class>/``.

    Raises:
        FeatmaskError: no such folder, no images, fewer than two classes, an empty class, or parts whose classes differ.
    """
    if not root.is_dir():
        raise FeatmaskError(f"no folder {root}; expected {root}/<class>/*.jpg or {root}/train/<class>/*.jpg and so on")
    folders = subfolders(root)
    if "train" in folders and "test" not in folders:
        raise FeatmaskError(f"{root} has a folder 'train' but no 'test'; a test part is needed ('val' is optional)")
    parts = [name for name in ("train", "val", "test") if name in folders] if "train" in folders else [""]
    listed = {part: _classes(root / part) for part in parts}
    classes = tuple(listed[parts[0]])
    for part, members in listed.items():
        if tuple(members) != classes:
            raise FeatmaskError(
                f"the classes of {root / part} are {tuple(members)}, but {root / parts[0]} has {classes}"
            )
    if len(classes) < 2:
        raise FeatmaskError(f"{root / parts[0]} has {len(classes)} class folder(s) {classes}; two or more are needed")
    rows = [
        (path, label, part)
        for part, members in listed.items()
        for label, images in enumerate(members.values())
        for path in images
    ]
    paths, labels, part_of = map(list, zip(*rows, strict=True))
    return FolderImages(paths, labels, classes, part_of if parts != [""] else None)


def subfolders(folder: Path) -> dict[str, Path]:
    """The folders in a folder by name, sorted, without hidden ones."""
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")}


def images_among(paths: Iterable[Path]) -> list[Path]:
    """The files with an image's suffix, sorted."""
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())


def _classes(folder: Path) -> dict[str, list[Path]]:
    members = {name: images_among(path.rglob("*")) for name, path in subfolders(folder).items()}
    empty = [name for name, images in members.items() if not images]
    if empty:
        raise FeatmaskError(
            f"no images in the class folders {empty} of {folder}; expected {', '.join(sorted(SUFFIXES))}"
        )
    return members


def read_folder(paths: Sequence[Path], size: int) -> torch.Tensor | FilePixels:
    """Read every image, resized, as 8-bit (N, 3, size, size); very large sets are read on demand instead.

    Raises:
        FeatmaskError: images that cannot be read, all of them listed up to ten.
    """
    return read_pixels(paths, partial(_read, size=size), (3, size, size))


def _read(path: Path, size: int) -> torch.Tensor:
    """Shorter side to ``size``, then the centre."""
    image = require("PIL.Image", "train")
    v2 = require("torchvision.transforms.v2.functional", "train")
    with image.open(path) as handle:
        tensor = v2.pil_to_tensor(handle.convert("RGB"))
    out: torch.Tensor = v2.center_crop(v2.resize(tensor, [size], antialias=True), [size, size])
    return out
