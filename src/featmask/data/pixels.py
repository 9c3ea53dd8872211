"""Reading images: all of them at once where they fit, one by one where they do not, and when they are asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch.utils.data import get_worker_info

from ..errors import FeatmaskError, listed
from ..utils.progress import progress

#: Up to this many bytes of resized pixels are read once and kept; beyond it images are read when they are needed.
KEEP_BYTES = 2 * 1024**3

T = TypeVar("T")
R = TypeVar("R")
#: How a file becomes 8-bit (3, H, W).
Read = Callable[[Path], torch.Tensor]


class Pixels(Protocol):
    """8-bit images by row, each (C, H, W): a uint8 tensor (N, C, H, W), or files that are read when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> torch.Tensor: ...


class FilePixels:
    """Images that are read whenever they are asked for, and never kept.

    Raises:
        FeatmaskError: on access: the image cannot be read.
    """

    def __init__(self, paths: Sequence[Path], read: Read) -> None:
        self.paths, self.read = paths, read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int, /) -> torch.Tensor:
        path = self.paths[row]
        try:
            return self.read(path)
        except FeatmaskError:
            raise  # no fault of the file, a library that is missing for example
        except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
            raise FeatmaskError(f"cannot read the image {path}: {error}") from error


class LatePixels:
    """Images that are read together, by `read_pixels`, when the first of them is asked for.

    A worker of a data loader keeps none: it would read all for itself. So call ``load`` before workers start.
    """

    def __init__(self, paths: Sequence[Path], read: Read, shape: Sequence[int], title: str = "reading images") -> None:
        self.paths, self.read, self.shape, self.title = paths, read, tuple(shape), title
        self._kept: Pixels | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int, /) -> torch.Tensor:
        if self._kept is None and get_worker_info() is not None:
            return FilePixels(self.paths, self.read)[row]
        return self.load()[row]

    def load(self) -> Pixels:
        """Read the images if that was not done before; errors are those of `read_pixels`."""
        if self._kept is None:
            self._kept = read_pixels(self.paths, self.read, self.shape, title=self.title)
        return self._kept


def read_pixels(
    paths: Sequence[Path], read: Read, shape: Sequence[int], *, title: str = "reading images"
) -> torch.Tensor | FilePixels:
    """Read every image as 8-bit (N, 3, H, W), in threads; more than ``KEEP_BYTES`` are read on demand instead.

    Args:
        paths: the files.
        read: how a file becomes 8-bit (3, H, W); Pillow lets other threads run while it decodes and resizes.
        shape: (3, H, W).
        title: shown beside the progress.

    Raises:
        FeatmaskError: images that cannot be read, all of them listed up to ten.
    """
    if len(paths) * math.prod(shape) > KEEP_BYTES:
        return FilePixels(paths, read)
    pixels = torch.empty(len(paths), *shape, dtype=torch.uint8)

    def fill(row: int) -> str | None:
        try:
            pixels[row] = read(paths[row])
        except FeatmaskError:
            raise  # no fault of the file, a library that is missing for example
        except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
            return f"{paths[row]}: {error}"
        return None

    broken = [fault for fault in in_threads(title, fill, range(len(paths))) if fault is not None]
    if broken:
        raise FeatmaskError(f"{len(broken)} of {len(paths)} images cannot be read:{listed(broken)}")
    return pixels


def in_threads(title: str, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """The result of ``work`` for each item, in order, with a bar; Pillow lets other threads run."""
    pool, results = ThreadPoolExecutor(min(8, os.cpu_count() or 1)), []
    try:
        with progress(title, len(items)) as bar:
            for result in pool.map(work, items):
                results.append(result)
                bar.advance()
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the rest
    return results
