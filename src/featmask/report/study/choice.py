"""Which figures lead a report, and at which size of an attack."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from ...records.metric import LEADING, Metric, other_domain

#: The usual budget of attacks on retrieval: where it was measured, the first table shows it.
USUAL = Fraction(5, 255)
#: Figures of a classifier that always lead.
_FIRST = ("accuracy", "balanced_accuracy", "ece", "corrupted")


def headline(metric: Metric) -> bool:
    """Whether a figure may stand in the first table; ``first_table`` chooses among budgets."""
    if not metric.retrieval:
        return metric.name in _FIRST or (metric.kind.partition("-")[0] == "worst" and bool(metric.budget))
    if metric.attacked:
        return metric.kind == "worst" and metric.figure == "mAP" and metric.eps is not None
    if metric.suite == "clean":
        return metric.figure in LEADING
    return metric.figure == "mAP" and (metric.suite == "reranked" or bool(other_domain(metric.suite)))


def first_table(metrics: Sequence[Metric]) -> list[Metric]:
    """The figures that lead a report, in their order; of attacks on retrieval, those at the main budget."""
    found = [metric for metric in metrics if headline(metric)]
    main = {metric.suite: main_budget(found, metric.suite) for metric in found}
    kept = [metric for metric in found if not _one_size(metric) or _size(metric) == main[metric.suite]]
    return sorted(kept, key=_place)


def _one_size(metric: Metric) -> bool:
    """Whether its suite leads with its main budget alone: of classification every one but the first norm's."""
    return metric.attacked or (_size(metric) is not None and (metric.square is not None or metric.norm != "linf"))


def _size(metric: Metric) -> Fraction | None:
    return metric.square if metric.eps is None else metric.eps


def main_budget(metrics: Sequence[Metric], suite: str) -> Fraction | None:
    """The size that stands for an attack suite: the middle of its range; of attacks on retrieval 5/255 if measured."""
    own = [metric for metric in metrics if metric.suite == suite]
    budgets = sorted({size for metric in own if (size := _size(metric)) is not None})
    if USUAL in budgets and any(metric.attacked for metric in own):
        return USUAL
    # the smallest budgets leave all standing, the largest nothing
    return budgets[len(budgets) // 2] if budgets else None


def _place(metric: Metric) -> int:
    """Of classification clean, corrupted, L-infinity, the rest as it was measured; of re-identification clean,
    re-ranked, attacked, cross.
    """
    if not metric.retrieval:
        sized = metric.eps is not None or metric.square is not None
        return -3 if metric.suite == "clean" else -2 if not sized else -1 if metric.norm == "linf" else 0
    if metric.suite == "clean":
        return 1 + LEADING.index(metric.figure)
    if metric.attacked:
        return 6 if metric.side == "query" else 7
    return 5 if metric.suite == "reranked" else 8
