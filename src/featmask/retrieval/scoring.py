"""Scores of a ranking: CMC, mean average precision and mean inverse negative penalty, exactly and with their rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FeatmaskError
from . import counting
from .inputs import Integers, Labels, Matrix, Sides, pair, sides, warn_if_alike
from .keys import METRICS, Keys, from_distances, from_features, given, squared_norms

Doubles = npt.NDArray[np.float64]
#: One side as it came in: features, ids, cameras.
Side = tuple[Matrix | None, Labels, Labels | None]

FORMS = {
    "standard": "mean of the precision at each right item",
    "trapezoid": "mean over the right items of (precision before + precision at it) / 2, the precision before rank 1 "
    "being 1 (Oxford; layumi, adv-reid)",
}


@dataclass(frozen=True)
class RetrievalScores:
    """Scores of Q queries against a gallery.

    Attributes:
        cmc: (max_rank,) share of the valid queries with a right item among the first 1, 2, ...; ``cmc[0]`` is Rank-1.
            Shorter where the gallery is.
        mean_ap: mean of ``average_precision`` over the valid queries (mAP).
        mean_inp: mean of ``inp`` over the valid queries (mINP).
        average_precision: (Q,) NaN where a query has no match.
        inp: (Q,) number of right items by the 1-based rank of the last of them; NaN where a query has no match.
        first_hit: (Q,) 0-based rank of the first right item; -1 where a query has no match.
        num_valid: number of queries with a match.
        rules: every rule that was used, to be shown beside the figures.
    """

    cmc: Doubles
    mean_ap: float
    mean_inp: float
    average_precision: Doubles
    inp: Doubles
    first_hit: Integers
    num_valid: int
    rules: dict[str, str | int | float]


def evaluate(
    query_features: Matrix | None,
    query_ids: Labels,
    query_cams: Labels | None,
    gallery_features: Matrix | None,
    gallery_ids: Labels,
    gallery_cams: Labels | None,
    *,
    metric: str = "euclidean",
    average_precision: str = "standard",
    junk_id: int | str | None = -1,
    distances: Matrix | None = None,
    max_rank: int = 50,
) -> RetrievalScores:
    """Score a retrieval as Market-1501's protocol does.

    Gallery items of id ``junk_id`` are removed, and, for each query, those of its id *and* camera. Everything else of
    another id is a wrong answer, distractors included. Items at equal distance stand in the gallery's order. Queries
    without a match are counted and left out of the means. Given the distances, the score is exact; from features it is
    that of float32 products, which are rounded at about 1e-7 of |q| |g|: nearer pairs may change places.

    Tensors are used on the device where they lie.

    Args:
        query_features: (Q, D); may be None where ``distances`` are given.
        query_ids: (Q,) whole numbers or texts.
        query_cams: (Q,); None for both sides where there are no cameras: nothing is dropped for its camera then.
        gallery_features: (G, D).
        gallery_ids: (G,).
        gallery_cams: (G,).
        metric: ``"euclidean"`` or ``"cosine"``; unused where ``distances`` are given.
        average_precision: ``"standard"``, the mean precision at the right items (fast-reid, torchreid), or
            ``"trapezoid"`` (layumi), which is lower on the same ranking.
        junk_id: id of gallery items that are neither right nor wrong; None keeps everything.
        distances: (Q, G) to rank by instead of features, for example of :func:`rerank`.
        max_rank: length of ``cmc``.

    Raises:
        FeatmaskError: shapes, lengths, kinds or names that do not fit; features that are not finite; no query has a
            match.

    Warns:
        FeatmaskWarning: junk seems to be kept, all images have one camera, or all features are alike.

    Source: Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015; mINP: Ye et al., "Deep Learning
    for Person Re-identification: A Survey and Outlook", 2021.
    """
    if average_precision not in FORMS:
        raise FeatmaskError(f"average_precision: expected one of {', '.join(FORMS)}; got {average_precision!r}")
    if max_rank < 1:
        raise FeatmaskError(f"max_rank: expected 1 or more; got {max_rank}")
    query, gallery = (query_features, query_ids, query_cams), (gallery_features, gallery_ids, gallery_cams)
    who, chunks = prepare(query, gallery, metric, junk_id, distances)
    index = Matches(who)
    rows, ranks = map(np.concatenate, zip(*(index.hits(start, keys) for start, keys in chunks), strict=True))
    precision, inp, first = _scores(rows, ranks, len(who.query_ids), average_precision)
    valid = first >= 0
    count = int(valid.sum())
    if not count:
        raise FeatmaskError(_no_match(who))
    length = min(max_rank, len(who.kept))
    measured = metric if distances is None else "distances as given"
    return RetrievalScores(
        cmc=np.cumsum(np.bincount(first[valid], minlength=length)[:length]) / count,
        mean_ap=float(precision[valid].mean()),
        mean_inp=float(inp[valid].mean()),
        average_precision=precision,
        inp=inp,
        first_hit=first,
        num_valid=count,
        rules=_rules(who, count, measured, average_precision, junk_id),
    )


def prepare(
    query: Side, gallery: Side, metric: str, junk_id: int | str | None, distances: Matrix | None
) -> tuple[Sides, Iterator[tuple[int, Keys]]]:
    """Checked ids and cameras, and the keys, chunk of queries by chunk, junk left out."""
    if metric not in METRICS:
        raise FeatmaskError(f"metric: expected one of {', '.join(METRICS)}; got {metric!r}")
    (searched, q_ids, q_cams), (among, g_ids, g_cams) = query, gallery
    if distances is not None:
        table = given(distances)
        who = sides(q_ids, q_cams, g_ids, g_cams, (table.shape[0], table.shape[1]), junk_id)
        return who, from_distances(table, who.kept)
    if searched is None or among is None:
        raise FeatmaskError("expected the features of both sides, or distances=")
    left, right = pair(searched, among)
    who = sides(q_ids, q_cams, g_ids, g_cams, (len(left), len(right)), junk_id)
    squared_norms(left, "query_features")  # for its check; the order within a row does not need them
    squares = squared_norms(right, "gallery_features")
    if who.junk:
        right, squares = right[who.kept], squares[who.kept]
    warn_if_alike(right)
    return who, from_features(left, right, squares, metric)


class Matches:
    """For each query, the gallery items of its id: the right ones and those of its own camera."""

    def __init__(self, who: Sides) -> None:
        self.who = who
        self.order = np.argsort(who.gallery_ids, kind="stable")
        ordered = who.gallery_ids[self.order]
        self.low = np.searchsorted(ordered, who.query_ids, side="left")
        self.high = np.searchsorted(ordered, who.query_ids, side="right")

    def same_id(self, start: int, count: int) -> tuple[Integers, Integers, npt.NDArray[np.bool_]]:
        """Of queries from ``start`` on: each same-id item's row, its column, and whether it counts as right."""
        low, many = self.low[start : start + count], (self.high - self.low)[start : start + count]
        rows = np.repeat(np.arange(count), many)
        columns = self.order[counting.spans(low, many)]
        right = self.who.gallery_cams[columns] != self.who.query_cams[start + rows]
        return rows, columns, right

    def hits(self, start: int, keys: Keys) -> tuple[Integers, Integers]:
        """Each right item's query and 0-based rank after dropping, in order of query and rank."""
        rows, columns, right = self.same_id(start, len(keys))
        order = np.lexsort((columns, counting.values(keys, rows, columns), rows))
        rows, columns, right = rows[order], columns[order], right[order]
        ranks = counting.ranks(keys, rows[right], columns[right])
        dropped = np.cumsum(~right)
        # what was dropped before a row's first item belongs to earlier rows
        before = np.concatenate([[0], dropped])[np.searchsorted(rows, np.arange(len(keys)))]
        return start + rows[right], ranks - (dropped - before[rows])[right]


def _scores(rows: Integers, ranks: Integers, queries: int, form: str) -> tuple[Doubles, Doubles, Integers]:
    """Average precision, INP and first hit of each query, from the right items' queries and ranks."""
    precision, inp, first = np.full(queries, np.nan), np.full(queries, np.nan), np.full(queries, -1, dtype=np.int64)
    valid, firsts, many = np.unique(rows, return_index=True, return_counts=True)
    before = np.arange(len(rows)) - np.repeat(firsts, many)
    at = (before + 1) / (ranks + 1)
    if form == "trapezoid":
        at = (at + np.where(ranks > 0, before / np.maximum(ranks, 1), 1.0)) / 2
    precision[valid] = np.bincount(rows, weights=at, minlength=queries)[valid] / many
    inp[valid] = many / (ranks[firsts + many - 1] + 1)
    first[valid] = ranks[firsts]
    return precision, inp, first


def _no_match(who: Sides) -> str:
    if not np.isin(who.query_ids, who.gallery_ids).any():
        return "no query has a match: the queries' ids and the gallery's have none in common; are both of one data set?"
    return (
        "no query has a match: every gallery item of a query's id has the query's camera too and is dropped; "
        "give None for both sides' cameras to keep them"
    )


def _rules(who: Sides, valid: int, metric: str, form: str, junk_id: Any) -> dict[str, str | int | float]:
    queries = len(who.query_ids)
    same_camera = "gallery items of the query's id and camera removed" if who.cameras else "no cameras: nothing removed"
    return {
        "metric": metric,
        "average_precision": f"{form}: {FORMS[form]}",
        "junk": "nothing removed" if junk_id is None else f"gallery items of id {junk_id} removed",
        "junk_removed": who.junk,
        "same_camera": same_camera,
        "distractors": "kept as wrong answers",
        "ties": "equal distances in the order of the gallery",
        "no_match": "counted and left out of the means",
        "queries": queries,
        "queries_without_match": queries - valid,
        "gallery": len(who.kept),
    }
