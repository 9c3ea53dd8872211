"""k-reciprocal re-ranking, exactly, on what is not zero alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import FeatmaskError
from .counting import spans
from .inputs import Floats, Integers, Matrix, pair
from .keys import squared_norms
from .neighbours import Neighbourhood, neighbourhood, pair_distances

#: Rows whose neighbourhoods are marked in one table of rows by items, of one byte each.
MARK_ROWS = 512
#: Entries of the inverted lists that are walked at once.
WALK = 2**21


def rerank(query_features: Matrix, gallery_features: Matrix, *, k1: int = 20, k2: int = 6, lambda_: float = 0.3) -> Any:
    """Distances after k-reciprocal re-ranking, to be given to :func:`evaluate` as ``distances``.

    The published code's choices are kept: the Euclidean distance is squared twice and divided by its largest value
    among all items of query and gallery; half of k1 is rounded to even. Equally near neighbours stand in the order of
    the items, queries first. Leave junk out of the gallery before, as it takes part in the neighbourhoods. Distances
    are float32 products: where two neighbours differ by less than their rounding, about 1e-7 of |x|^2, either may
    come first, and another implementation may differ there.

    On another device than the CPU, distances and nearest neighbours are found there, and the sparse rest on the CPU.

    Args:
        query_features: (Q, D).
        gallery_features: (G, D).
        k1: neighbours in which two items must have each other.
        k2: neighbours whose encodings are averaged; 1 averages none.
        lambda_: share of the original distance in the result, 0 to 1.

    Returns:
        (Q, G) distances, float32: a tensor where one came in, on its device.

    Raises:
        FeatmaskError: shapes that do not fit, features that are not finite, or numbers out of range.

    Source: Zhong, Zheng, Cao and Li, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017.
    """
    query, gallery = pair(query_features, gallery_features)
    total = len(query) + len(gallery)
    if k1 < 1 or k2 < 1 or not 0 <= lambda_ <= 1:
        raise FeatmaskError(f"expected k1 and k2 of at least 1, lambda_ from 0 to 1; got {k1}, {k2}, {lambda_}")
    features: Any = (
        torch.cat([query, gallery])
        if isinstance(query, torch.Tensor) and isinstance(gallery, torch.Tensor)
        else np.concatenate([np.asarray(query), np.asarray(gallery)])
    )
    squares = squared_norms(features, "features")
    known = neighbourhood(features, squares, len(query), min(max(k1 + 1, k2), total))
    starts, columns = expanded(known.nearest, k1)
    weights = _weights(features, known, starts, columns)
    if k2 > 1:
        starts, columns, weights = _averaged(known.nearest[:, :k2], starts, columns, weights)
    _blend(known.original, starts, columns, weights, lambda_)
    result = known.original
    came = isinstance(query_features, torch.Tensor) or isinstance(gallery_features, torch.Tensor)
    return torch.from_numpy(result) if came and isinstance(result, np.ndarray) else result


def expanded(nearest: Integers, k1: int) -> tuple[Integers, npt.NDArray[np.int32]]:
    """Every item's k-reciprocal neighbours, with those of its candidates that share two thirds (equations 3 and 4).

    Returns:
        (N + 1,) where each item's neighbours start, and the neighbours, ascending.
    """
    count = len(nearest)
    full = nearest[:, : k1 + 1]
    half = nearest[:, : int(np.around(k1 / 2)) + 1]
    full_mutual, half_mutual = _mutual(full), _mutual(half)
    sizes = half_mutual.sum(1)
    starts, columns = np.zeros(count + 1, dtype=np.int64), []
    marks = np.zeros((MARK_ROWS, count), dtype=bool)
    for start in range(0, count, MARK_ROWS):
        mark = marks[: min(MARK_ROWS, count - start)]
        mark[:] = False
        row, place = np.nonzero(full_mutual[start : start + len(mark)])
        candidates = full[start + row, place]
        mark[row, candidates] = True
        shared = (mark[row[:, None], half[candidates]] & half_mutual[candidates]).sum(1)
        taken = shared > 2 / 3 * sizes[candidates]
        one, many = np.nonzero(half_mutual[candidates[taken]])
        mark[row[taken][one], half[candidates[taken][one], many]] = True
        flat = np.flatnonzero(mark)
        starts[start + 1 : start + len(mark) + 1] = mark.sum(1)
        columns.append((flat % count).astype(np.int32))
    return np.cumsum(starts), np.concatenate(columns)


def _mutual(nearest: Integers) -> npt.NDArray[np.bool_]:
    """(N, k) whether an item is among the neighbours of its neighbour too."""
    found = np.empty(nearest.shape, dtype=bool)
    for start in range(0, len(nearest), 4096):
        part = nearest[start : start + 4096]
        items = np.arange(start, start + len(part))[:, None, None]
        found[start : start + len(part)] = (nearest[part] == items).any(2)
    return found


def _weights(features: Any, known: Neighbourhood, starts: Integers, columns: npt.NDArray[np.int32]) -> Floats:
    """Each item's encoding (equation 7), its sum 1."""
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    scaled = pair_distances(features, rows, columns.astype(np.int64)) / known.furthest[rows]
    weights = np.exp(-np.square(scaled))
    # an item behind many copies of itself may have no neighbours at all: its sum is 0, and no weight is divided by it
    encoded: Floats = (weights / np.bincount(rows, weights=weights, minlength=len(starts) - 1)[rows]).astype(np.float32)
    return encoded


def _averaged(
    nearest: Integers, starts: Integers, columns: npt.NDArray[np.int32], weights: Floats
) -> tuple[Integers, npt.NDArray[np.int32], Floats]:
    """Each encoding as the mean of its neighbours' (equation 11)."""
    count = len(nearest)
    lengths, many, parts, mass = np.diff(starts), np.zeros(count + 1, dtype=np.int64), [], []
    for start in range(0, count, MARK_ROWS):
        members = nearest[start : start + MARK_ROWS]
        rows = len(members)
        at = spans(starts[members.ravel()], lengths[members.ravel()])
        row = np.repeat(np.arange(rows), lengths[members].sum(1))
        flat = row * count + columns[at]
        total = np.bincount(flat, weights=weights[at], minlength=rows * count)
        there = np.flatnonzero(total != 0)
        many[start + 1 : start + rows + 1] = np.bincount(there // count, minlength=rows)
        parts.append((there % count).astype(np.int32))
        mass.append((total[there] / members.shape[1]).astype(np.float32))
    return np.cumsum(many), np.concatenate(parts), np.concatenate(mass)


def _blend(original: Any, starts: Integers, columns: npt.NDArray[np.int32], weights: Floats, lambda_: float) -> None:
    """Turn original distances into final ones (equations 10 and 12), in place, by the gallery's inverted lists."""
    queries, gallery = original.shape
    begin = starts[queries]
    order = np.argsort(columns[begin:], kind="stable")
    owners = np.repeat(np.arange(gallery, dtype=np.int32), np.diff(starts[queries:]))[order]
    held = weights[begin:][order]
    lengths = np.bincount(columns[begin:], minlength=queries + gallery)
    heads = np.cumsum(lengths) - lengths
    step = max(1, int(WALK // max(1, lengths[columns[:begin]].sum() / queries)))
    for start in range(0, queries, step):
        stop = min(start + step, queries)
        cut = slice(starts[start], starts[stop])
        entries, reach = columns[cut], lengths[columns[cut]]
        at = spans(heads[entries], reach)
        common = np.minimum(np.repeat(weights[cut], reach), held[at])
        row = np.repeat(np.repeat(np.arange(stop - start), np.diff(starts[start : stop + 1])), reach)
        shared = np.bincount(row * gallery + owners[at], weights=common, minlength=(stop - start) * gallery)
        # 1 - shared / (2 - shared), times 1 - lambda, where there is something to subtract
        there = np.flatnonzero(shared != 0)
        nearer = (shared[there] / (2 - shared[there]) * (1 - lambda_)).astype(np.float32)
        part = original[start:stop]
        part *= lambda_
        part += 1 - lambda_
        if isinstance(part, torch.Tensor):
            part.view(-1)[torch.from_numpy(there).to(part.device)] -= torch.from_numpy(nearer).to(part.device)
        else:
            part.reshape(-1)[there] -= nearer
