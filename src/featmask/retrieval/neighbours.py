"""The nearest items of every item, by chunks: all that k-reciprocal re-ranking needs of the square distance matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..utils.progress import progress
from .inputs import Floats, Integers
from .keys import chunk_rows

#: A row is cut into this many groups; the k-th smallest of the groups' minima bounds the k-th smallest of the row.
GROUPS = 256


@dataclass(frozen=True)
class Neighbourhood:
    """What is kept of the distances among all items, queries first.

    Attributes:
        nearest: (N, k) the nearest items of each, itself among them, nearest first; ties by position.
        furthest: (N,) the largest squared distance of each.
        original: (Q, G) the squared distances over ``furthest``, squared again; it becomes the result.
    """

    nearest: Integers
    furthest: Floats
    original: Any


def neighbourhood(features: Floats | torch.Tensor, squares: Any, queries: int, k: int) -> Neighbourhood:
    """Pass once over the distances among all items.

    Args:
        features: (N, D), queries first.
        squares: (N,) their squared norms.
        queries: how many of them are queries.
        k: neighbours that are kept, at most N.
    """
    count = len(features)
    nearest, furthest = np.empty((count, k), dtype=np.int64), np.empty(count, dtype=np.float32)
    rows, buffer = chunk_rows(count), None
    original: Any
    if isinstance(features, torch.Tensor):
        original = torch.empty((queries, count - queries), device=features.device)
    else:
        original = np.empty((queries, count - queries), dtype=np.float32)
        squares = squares.astype(np.float32)
        buffer = np.empty((min(rows, count), count), dtype=np.float32)
    with progress("re-ranking: neighbours", count) as bar:
        for start in range(0, count, rows):
            stop = min(start + rows, count)
            distances: Any
            if buffer is None:
                distances = torch.addmm(squares[None], features[start:stop], features.T, alpha=-2)  # type: ignore[arg-type]
                distances += squares[start:stop, None]
                nearest[start:stop] = distances.argsort(dim=1, stable=True)[:, :k].cpu().numpy()
                biggest = distances.amax(1).clamp(min=torch.finfo(torch.float32).tiny)
                furthest[start:stop] = biggest.cpu().numpy()
            else:
                distances = buffer[: stop - start]
                _squared_distances(features, squares, start, distances)
                nearest[start:stop] = smallest(distances, k)
                biggest = np.maximum(distances.max(1), np.finfo(np.float32).tiny)
                furthest[start:stop] = biggest
            inside = min(stop, queries) - start
            if inside > 0:
                # the square of the quotient is the quotient of the squares, and does not overflow
                scaled = distances[:inside, queries:] / biggest[:inside, None]
                original[start : start + inside] = scaled * scaled
            bar.advance(stop - start)
    return Neighbourhood(nearest, furthest, original)


def smallest(values: Floats, k: int) -> Integers:
    """Columns of the k smallest values of each row (all if there are fewer), ascending; ties by column.

    Three passes instead of a partial sort: the k-th smallest of the minima of groups is at least the row's k-th
    smallest, so that few values lie at or below it, and they alone are sorted.
    """
    rows, columns = values.shape
    if columns <= k:
        return np.argsort(values, axis=1, kind="stable")
    cut = columns - columns % GROUPS
    many_groups = cut // GROUPS >= 2 and k <= GROUPS // 2
    minima = values[:, :cut].reshape(rows, -1, GROUPS).min(1) if many_groups else values
    bound = np.partition(minima, k - 1, axis=1)[:, k - 1, None]
    at = np.flatnonzero(values <= bound)
    row, column = np.divmod(at, columns)
    order = np.lexsort((column, values.reshape(-1)[at], row))
    many = np.bincount(row, minlength=rows)
    first = np.cumsum(many) - many
    picked: Integers = column[order[first[:, None] + np.arange(k)]]
    return picked


def _squared_distances(features: Any, squares: Floats, start: int, out: Floats) -> None:
    part = features[start : start + len(out)] * np.float32(-2)
    np.matmul(part, features.T, out=out)
    for row, square in zip(out, squares[start : start + len(out)], strict=True):
        np.add(row, squares, out=row)
        np.add(row, square, out=row)


def pair_distances(features: Any, rows: Integers, columns: Integers) -> npt.NDArray[np.float32]:
    """Squared distances of pairs, by their differences, chunk by chunk."""
    found = np.empty(len(rows), dtype=np.float32)
    step = max(1, 2**23 // features.shape[1])
    for start in range(0, len(rows), step):
        cut = slice(start, start + step)
        first, second = rows[cut], columns[cut]
        if isinstance(features, torch.Tensor):
            at = [torch.from_numpy(part).to(features.device) for part in (first, second)]
            found[cut] = (features[at[0]] - features[at[1]]).square().sum(1).cpu().numpy()
        else:
            apart = features[first]
            apart -= features[second]
            found[cut] = np.einsum("nd,nd->n", apart, apart)
    return found
