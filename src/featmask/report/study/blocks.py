"""Every figure of a ranking, suite by suite: under attack a table per size, in it the attacks, in those the methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...records.figures import Figure, measure_place
from ...records.names import CLEAN
from ...records.titles import SUITES, attack_title
from .attacked import by_attack
from .retrieval import suite_place
from .rows import Field, Row, cell_field
from .tables import Study


@dataclass(frozen=True)
class Block:
    """One table: what was measured (``"Queries attacked, 5/255"``), a column per figure (``"Rank-1"``), and by attack
    (empty where there is none) a row per method, whose seeds are those that were measured.
    """

    title: str
    heads: list[str]
    groups: list[tuple[str, list[Row]]]


def blocks(study: Study) -> list[Block]:
    """All figures of rankings that the runs hold; none for classification."""
    metrics = [metric for metric in study.metrics if metric.retrieval]
    found = []
    for suite in sorted(dict.fromkeys(metric.suite for metric in metrics), key=suite_place):
        own = [metric for metric in metrics if metric.suite == suite]
        domain = own[0].domain
        title = f"{SUITES['cross']}, scored on {domain}" if domain else SUITES.get(suite, suite)
        plainly = [metric for metric in own if not metric.attacked]
        if plainly:
            found.append(_block(study, title, plainly))
        sizes = {metric.eps: metric.budget for metric in own if metric.attacked and metric.eps is not None}
        for eps, budget in sorted(sizes.items()):
            same = [m for m in own if m.attacked and (m.eps == eps or (m.kind == CLEAN and not m.budget))]
            found.append(_block(study, f"{title}, {budget}", same))
    return found


def _block(study: Study, title: str, metrics: Sequence[Figure]) -> Block:
    figures = sorted({metric.measure for metric in metrics}, key=measure_place)
    titles = {metric.measure: metric.measure_title for metric in metrics}
    groups = []
    for kind in dict.fromkeys(metric.kind if metric.attacked else "" for metric in by_attack(metrics)):
        own = {metric.measure: metric for metric in metrics if not kind or metric.kind == kind}
        lines = [line for method in study.methods if (line := _line(study, method, own, figures)) is not None]
        if lines:
            groups.append((attack_title(kind), lines))
    return Block(title, [titles[figure] for figure in figures], groups)


def _line(study: Study, method: str, own: dict[str, Figure], figures: Sequence[str]) -> Row | None:
    cells = {figure: study.cells.get((method, metric)) for figure, metric in own.items()}
    measured = [len(cell.values) for cell in cells.values() if cell is not None]
    if not measured:
        return None
    fields = [cell_field(own[figure], cells[figure]) if figure in own else Field("–") for figure in figures]
    return Row(method, max(measured), fields)
