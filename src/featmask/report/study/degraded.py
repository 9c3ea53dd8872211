"""What is left where images are corrupted or partly hidden: by severity, by the size of a square, by kind."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from ...records.figures import Figure, show, signed
from ...records.titles import SUITES, attack_title, corruption_title
from ..values import in_groups
from .attacked import by_attack
from .lines import FEW, Axis, Group, along, band_text, line_panels
from .tables import Cell, Study


@dataclass(frozen=True)
class KindCell:
    """One corruption and method: the mean over severities; ``sign`` only where better or worse is claimed."""

    text: str
    difference: str = ""
    sign: str = ""
    outcome: str = ""
    best: bool = False


@dataclass(frozen=True)
class KindTable:
    """One suite of corruptions over ``n`` images, figures being means over the severities; by group of corruptions a
    row per corruption, a cell per method.
    """

    title: str
    n: int
    severities: str
    groups: list[tuple[str, list[tuple[str, list[KindCell]]]]]


def degraded_groups(study: Study) -> list[Group]:
    """Pictures by severity and by the size of a square."""
    return [group for suite in corrupted_suites(study) if (group := _by_severity(study, suite))] + _squares(study)


def corrupted_suites(study: Study) -> list[str]:
    """Names of suites that have figures by severity."""
    return list(dict.fromkeys(metric.suite for metric in study.metrics if metric.severity))


def _by_severity(study: Study, suite: str) -> Group | None:
    levels: dict[str, list[Figure]] = {}
    for metric in study.metrics:
        if metric.suite == suite and metric.severity:
            levels.setdefault(metric.severity, []).append(metric)
    if len(levels) < 2:
        return None
    lines = along(study, [(0.0, Figure(suite, "clean"))])
    for method in study.methods:
        for level in sorted(levels, key=int):
            if values := _mean(study, method, levels[level]):
                lines.setdefault(method, []).append((float(level), values))
    lines = {method: lines[method] for method in study.methods if method in lines}
    axis = Axis("Accuracy, %", "severity", "Accuracy over all corruptions, by severity")
    panels, small = line_panels(study, lines, axis, f"severity-{suite}")
    text = "Accuracy, the mean over all corruptions, by severity; 0 is the same images, not corrupted."
    title = SUITES["corruptions"] + ("" if suite == "corruptions" else f": {suite}")
    return Group(title, text + band_text(study, lines), panels, small)


def _mean(study: Study, method: str, metrics: list[Figure]) -> dict[int, float]:
    """Seed -> mean over kinds, of seeds that were measured on all of them."""
    cells = [study.cells.get((method, metric)) for metric in metrics]
    values = [cell.values for cell in cells if cell is not None]
    if len(values) < len(metrics):
        return {}
    common = [seed for seed in values[0] if all(seed in own for own in values)]
    return {seed: fmean(own[seed] for own in values) for seed in common}


def _squares(study: Study) -> list[Group]:
    sized = [metric for metric in study.metrics if metric.square is not None]
    kinds = by_attack([m for m in sized if not m.worst]) or sized
    panels, small, lines = [], [], {}
    for suite, kind in dict.fromkeys((metric.suite, metric.kind) for metric in kinds):
        own = sorted((m for m in sized if (m.suite, m.kind) == (suite, kind)), key=lambda m: m.square or 0)
        points = [(0.0, Figure(suite, "clean")), *((float(100 * (m.square or 0)), m) for m in own)]
        lines = along(study, points)
        title = attack_title(kind)
        label = "side of the square, % of the image's shorter side"
        axis = Axis(f"{title}, %", label, f"Accuracy, {title}", whole=True, short="side, %")
        first, more = line_panels(study, lines, axis, f"square-{suite}-{kind}")
        panels += first
        small += [] if kind != "occlusion" else more
    if not panels:
        return []
    text = "Accuracy against the side of a square that is hidden, at random or where it hurts most, or replaced."
    text += band_text(study, lines) if small or len(lines) <= FEW else ""
    return [Group(SUITES["occlusion"], text, panels, small)]


def kind_tables(study: Study) -> list[KindTable]:
    """A table per suite: corruptions down, methods across."""
    return [_table(study, suite) for suite in corrupted_suites(study)]


def _table(study: Study, suite: str) -> KindTable:
    leveled = [metric for metric in study.metrics if metric.suite == suite and metric.severity]
    kinds = [k for k in dict.fromkeys(m.kind for m in leveled) if Figure(suite, k) in study.metrics]
    groups = []
    for title, members in in_groups(kinds):
        groups.append((title, [(corruption_title(kind), _row(study, Figure(suite, kind))) for kind in members]))
    total = Figure(suite, "corrupted")
    if total in study.metrics:
        groups.append(("All", [("Mean", _row(study, total))]))
    levels = sorted({int(metric.severity) for metric in leveled})
    n = next(run.suites[suite].n for run in study.runs if suite in run.suites)
    title = "Every kind of corruption" + ("" if suite == "corruptions" else f": {suite}")
    return KindTable(title, n, ", ".join(map(str, levels)), groups)


def _row(study: Study, metric: Figure) -> list[KindCell]:
    return [_cell(metric, study.cells.get((method, metric))) for method in study.methods]


def _cell(metric: Figure, cell: Cell | None) -> KindCell:
    if cell is None:
        return KindCell("–")
    text = show(metric, cell.interval.mean)
    if cell.paired is None:
        return KindCell(text, best=cell.best)
    sign = f" {cell.sign}" if cell.claimed else ""
    return KindCell(text, signed(metric, cell.paired.interval.mean), sign, cell.outcome, cell.best)
