"""The head of a ranked list, for a picture of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FeatmaskError
from .inputs import Integers, Labels, Matrix, pair
from .neighbours import smallest
from .scoring import Matches, prepare


@dataclass(frozen=True)
class Ranking:
    """The first gallery items of each query.

    Attributes:
        indices: (Q, top) positions in the gallery as it was given; -1 where fewer items are left.
        distances: (Q, top) in the metric's unit, or as given; NaN where fewer items are left.
        right: (Q, top) whether the item has the query's id.
    """

    indices: Integers
    distances: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]


def rank(
    query_features: Matrix | None,
    query_ids: Labels,
    query_cams: Labels | None,
    gallery_features: Matrix | None,
    gallery_ids: Labels,
    gallery_cams: Labels | None,
    *,
    top: int = 10,
    metric: str = "euclidean",
    junk_id: int | str | None = -1,
    distances: Matrix | None = None,
) -> Ranking:
    """The nearest gallery items of each query, by the rules of :func:`evaluate`.

    Junk and items of the query's id and camera are dropped first; ties stand in the gallery's order.

    Args:
        query_features: (Q, D), and so on: as for :func:`evaluate`.
        top: items per query.

    Raises:
        FeatmaskError: as :func:`evaluate`, but a query without a match is no error.
    """
    if top < 1:
        raise FeatmaskError(f"top: expected 1 or more; got {top}")
    query, gallery = (query_features, query_ids, query_cams), (gallery_features, gallery_ids, gallery_cams)
    who, chunks = prepare(query, gallery, metric, junk_id, distances)
    queries = len(who.query_ids)
    found = Ranking(
        indices=np.full((queries, top), -1, dtype=np.int64),
        distances=np.full((queries, top), np.nan),
        right=np.zeros((queries, top), dtype=bool),
    )
    index = Matches(who)
    for start, chunk in chunks:
        keys: Any = chunk if isinstance(chunk, np.ndarray) else chunk.cpu().numpy()
        rows, columns, right = index.same_id(start, len(keys))
        rows, columns = rows[~right], columns[~right]
        ends = np.searchsorted(rows, np.arange(len(keys) + 1))
        for row, values in enumerate(keys):
            keep = np.ones(len(values), dtype=bool)
            keep[columns[ends[row] : ends[row + 1]]] = False
            left = np.flatnonzero(keep)
            chosen = left[smallest(values[None, left], top)[0]]
            place = (start + row, slice(len(chosen)))
            found.indices[place] = who.kept[chosen]
            found.right[place] = who.gallery_ids[chosen] == who.query_ids[start + row]
            if distances is not None:
                found.distances[place] = values[chosen]
    if distances is None and query_features is not None and gallery_features is not None:
        _measure(found, *pair(query_features, gallery_features), metric)
    return found


def _measure(found: Ranking, query: Any, gallery: Any, metric: str) -> None:
    """Distances of the chosen pairs alone, in float64: a key is no distance, and its rounding is float32's."""
    for row, indices in enumerate(found.indices):
        chosen = indices[indices >= 0]
        one, many = query[row], gallery[chosen]
        if not isinstance(one, np.ndarray):
            one, many = one.cpu().numpy(), many.cpu().numpy()
        one, many = one.astype(np.float64), many.astype(np.float64)
        if metric == "euclidean":
            measured = np.sqrt(np.square(many - one).sum(1))
        else:
            lengths = np.sqrt(np.square(many).sum(1) * np.square(one).sum())
            measured = 1 - many @ one / np.maximum(lengths, np.finfo(np.float32).tiny)
        found.distances[row, : len(chosen)] = measured
