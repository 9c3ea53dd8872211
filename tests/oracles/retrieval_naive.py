"""Scoring and re-ranking spelt out one item at a time, from the papers; shares no code with the package."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def ranked(
    distances: Sequence[float], query: tuple[Any, Any], gallery: Sequence[tuple[Any, Any]], junk: Any
) -> list[int]:
    """Gallery positions by distance, then by position; junk and the query's own id on its own camera left out."""
    order = sorted(range(len(distances)), key=lambda item: (distances[item], item))
    return [item for item in order if gallery[item][0] != junk and gallery[item] != query]


def score(
    distances: Sequence[Sequence[float]], queries: list[tuple[Any, Any]], gallery: list[tuple[Any, Any]], junk: Any
) -> list[dict[str, float] | None]:
    """Per query both forms of AP, INP and the first hit; None where nothing matches."""
    found: list[dict[str, float] | None] = []
    for row, query in zip(distances, queries, strict=True):
        hits, standard, trapezoid, first, last = 0, 0.0, 0.0, -1, -1
        for place, item in enumerate(ranked(row, query, gallery, junk)):
            if gallery[item][0] != query[0]:
                continue
            before = hits / place if place else 1.0
            hits += 1
            precision = hits / (place + 1)
            standard += precision
            trapezoid += (before + precision) / 2
            first, last = place if first < 0 else first, place
        if not hits:
            found.append(None)
            continue
        found.append(
            {"standard": standard / hits, "trapezoid": trapezoid / hits, "inp": hits / (last + 1), "first": first}
        )
    return found


def rerank(query: list[list[float]], gallery: list[list[float]], k1: int, k2: int, share: float) -> list[list[float]]:
    """k-reciprocal re-ranking (Zhong 2017) with sets and dictionaries, in double precision."""
    items = query + gallery
    everyone = range(len(items))
    squared = [[sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) for other in items] for one in items]
    original = [[(value / max(row)) ** 2 for value in row] for row in squared]
    order = [sorted(everyone, key=lambda other, row=row: (row[other], other)) for row in squared]

    def mutual(item: int, k: int) -> set[int]:
        return {other for other in order[item][: k + 1] if item in order[other][: k + 1]}

    codes: list[dict[int, float]] = []
    for item in everyone:
        near = mutual(item, k1)
        grown = set(near)
        for candidate in near:
            theirs = mutual(candidate, round(k1 / 2))
            if 3 * len(theirs & near) > 2 * len(theirs):
                grown |= theirs
        weights = {other: math.exp(-original[item][other]) for other in grown}
        total = sum(weights.values())
        codes.append({other: weight / total for other, weight in weights.items()})
    averaged = []
    for item in everyone:
        members = order[item][:k2]
        keys = set().union(*(codes[member] for member in members))
        averaged.append({key: sum(codes[member].get(key, 0.0) for member in members) / len(members) for key in keys})
    result = []
    for item in range(len(query)):
        row = []
        for other in range(len(query), len(items)):
            smaller = sum(min(averaged[item].get(key, 0.0), averaged[other].get(key, 0.0)) for key in averaged[item])
            jaccard = 1 - smaller / (2 - smaller)
            row.append((1 - share) * jaccard + share * original[item][other])
        result.append(row)
    return result
