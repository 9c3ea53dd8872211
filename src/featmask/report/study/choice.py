"""Which figures lead a report, and at which size of an attack."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from ...records.figures import LEADING, Figure

#: The usual budget of attacks on retrieval: where it was measured, the first table shows it.
USUAL = Fraction(5, 255)
#: Figures of a classifier that always lead.
_FIRST = ("accuracy", "balanced_accuracy", "ece", "corrupted")


def headline(metric: Figure) -> bool:
    """Whether a figure may stand in the first table; ``first_table`` chooses among budgets."""
    if not metric.retrieval:
        return metric.name in _FIRST or (metric.worst and bool(metric.budget))
    if metric.attacked:
        return metric.worst and metric.measure == "mAP" and metric.eps is not None
    if metric.suite == "clean":
        return metric.measure in LEADING
    return metric.measure == "mAP" and (metric.suite == "reranked" or bool(metric.domain))


def first_table(metrics: Sequence[Figure]) -> list[Figure]:
    """The figures that lead a report, in their order; of attacks on retrieval, those at the main budget."""
    found = [metric for metric in metrics if headline(metric)]
    main = {metric.suite: main_budget(found, metric.suite) for metric in found}
    # of classification the first norm leads with all its budgets, every other suite with its main one alone
    every = [m for m in found if not m.attacked and (m.size is None or (m.square is None and m.norm == "linf"))]
    return sorted((m for m in found if m in every or m.size == main[m.suite]), key=_place)


def main_budget(metrics: Sequence[Figure], suite: str) -> Fraction | None:
    """The size that stands for an attack suite: the middle of its range; of attacks on retrieval 5/255 if measured."""
    own = [metric for metric in metrics if metric.suite == suite]
    budgets = sorted({metric.size for metric in own if metric.size is not None})
    if USUAL in budgets and any(metric.attacked for metric in own):
        return USUAL
    # the smallest budgets leave all standing, the largest nothing
    return budgets[len(budgets) // 2] if budgets else None


def _place(metric: Figure) -> int:
    """Of classification clean, corrupted, L-infinity, the rest as it was measured; of re-identification clean,
    re-ranked, attacked, cross.
    """
    if not metric.retrieval:
        return -3 if metric.suite == "clean" else -2 if metric.size is None else -1 if metric.norm == "linf" else 0
    if metric.suite == "clean":
        return 1 + LEADING.index(metric.measure)
    if metric.attacked:
        return 6 if metric.side == "query" else 7
    return 5 if metric.suite == "reranked" else 8
