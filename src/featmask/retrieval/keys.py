"""What a ranking is made by: for a chunk of queries, one number per gallery item that grows with the distance.

The order by |q - g|^2 is the order by |g|^2 / 2 - q.g, and the order by cosine distance that by -q.g / |g|: what all
items of a row share is left out, which spares a pass and the rounding of a large sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import FeatmaskError
from .inputs import Floats, Integers, Matrix

METRICS = ("euclidean", "cosine")
#: Bytes of keys that are held at once; rows of it, at least this many.
CHUNK_BYTES = 64 * 2**20
CHUNK_ROWS = 16

Keys = npt.NDArray[Any] | torch.Tensor


def chunk_rows(columns: int, item: int = 4) -> int:
    """Rows that fit into a chunk of keys."""
    return max(CHUNK_ROWS, CHUNK_BYTES // (columns * item))


def from_features(
    query: Floats | torch.Tensor, gallery: Floats | torch.Tensor, squares: Any, metric: str
) -> Iterator[tuple[int, Keys]]:
    """Keys, chunk of queries by chunk, from float32 products. A chunk is overwritten by the next one.

    Args:
        query: (Q, D).
        gallery: (G, D), on the same device.
        squares: (G,) the gallery's squared norms.
        metric: ``"euclidean"`` or ``"cosine"``.

    Yields:
        The number of the first query, and keys of shape (rows, G).
    """
    if isinstance(query, torch.Tensor) or isinstance(gallery, torch.Tensor):
        yield from _device_keys(torch.as_tensor(query), torch.as_tensor(gallery), torch.as_tensor(squares), metric)
        return
    rows, column = chunk_rows(len(gallery)), _column(np.asarray(squares), metric)
    combine = np.subtract if metric == "euclidean" else np.multiply
    buffer = np.empty((min(rows, len(query)), len(gallery)), dtype=np.float32)
    for start in range(0, len(query), rows):
        part = query[start : start + rows]
        keys = buffer[: len(part)]
        np.matmul(part, gallery.T, out=keys)
        for row in keys:  # a row at a time, so that the counting that follows finds it in the cache
            combine(column, row, out=row)
        yield start, keys


def from_distances(distances: Matrix, kept: Integers) -> Iterator[tuple[int, Keys]]:
    """Given distances, in their own precision, chunk of queries by chunk.

    Args:
        distances: (Q, G), G with junk.
        kept: columns that are no junk.

    Raises:
        FeatmaskError: a distance is not a number.
    """
    whole = len(kept) == distances.shape[1]
    rows = chunk_rows(distances.shape[1], 8)
    for start in range(0, len(distances), rows):
        part = distances[start : start + rows]
        keys: Any = part if whole else part[:, kept]
        if keys.max() != keys.max():
            raise FeatmaskError(f"distances: rows {start} to {start + len(part) - 1} hold values that are not a number")
        yield start, keys


def given(distances: Matrix) -> Matrix:
    """Given distances as a matrix, or an error.

    Raises:
        FeatmaskError: not two axes, or not numbers.
    """
    if isinstance(distances, torch.Tensor):
        value = distances.detach()
        value = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        array: Any = value if value.device.type != "cpu" else value.numpy()
    else:
        array = np.asarray(distances)
        if array.dtype.kind not in "fiu":
            raise FeatmaskError(f"distances: expected numbers; got {array.dtype}")
    if array.ndim != 2:
        raise FeatmaskError(f"distances: expected shape (queries, gallery); got {tuple(array.shape)}")
    return array  # type: ignore[no-any-return]


def squared_norms(features: Floats | torch.Tensor, name: str) -> npt.NDArray[np.float64] | torch.Tensor:
    """|x|^2 of each row, in float64 on the CPU.

    Raises:
        FeatmaskError: features that are not finite, or too large for float32.
    """
    squares: Any
    if isinstance(features, torch.Tensor):
        squares = features.square().sum(1)
        fine = torch.isfinite(squares).cpu().numpy()
    else:
        squares = np.einsum("nd,nd->n", features, features, dtype=np.float64)
        fine = squares < float(np.finfo(np.float32).max)
    if not fine.all():
        raise FeatmaskError(
            f"{name}: {int((~fine).sum())} of {len(fine)} rows are not finite (or too large for float32), "
            f"the first of them row {int(np.flatnonzero(~fine)[0])}; look for a diverged model or a broken image"
        )
    return squares  # type: ignore[no-any-return]


def _column(squares: npt.NDArray[np.float64], metric: str) -> Floats:
    if metric == "euclidean":
        return np.asarray(squares / 2, dtype=np.float32)
    # a feature of zeros has no direction: its cosine is 0
    return np.asarray(-1 / np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny)), dtype=np.float32)


def _device_keys(
    query: torch.Tensor, gallery: torch.Tensor, squares: torch.Tensor, metric: str
) -> Iterator[tuple[int, Keys]]:
    rows = chunk_rows(len(gallery), 8)  # ranks of 8 bytes stand beside the keys
    scale = -1 / squares.clamp(min=torch.finfo(torch.float32).tiny).sqrt()
    for start in range(0, len(query), rows):
        products = query[start : start + rows] @ gallery.T
        yield start, squares / 2 - products if metric == "euclidean" else products * scale
