"""Pictures of what attacks leave standing: against their size, and attack by attack at one size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .choice import main_budget
from .metric import Metric, attack_title
from .names import ATTACKS
from .retrieval import suite_place
from .svg import INK, PANEL, look, plain
from .tables import Study

#: Eps in 1/255 and the figure there, from 0 up.
Points = list[tuple[float, Metric]]


class Panel(NamedTuple):
    """How one panel is drawn, a prefix for its ids, and what it shows."""

    draw: Callable[[Any, Study, Any], tuple[Any, str]]
    prefix: str
    what: Any


class Group(NamedTuple):
    """Panels that share a title and a caption."""

    title: str
    caption: str
    panels: list[Panel]


def attack_groups(study: Study) -> list[Group]:
    """What there is to draw, a group a suite of attacks."""
    suites = dict.fromkeys(metric.suite for metric in study.metrics if metric.eps is not None and metric.attacked)
    found = [group for suite in sorted(suites, key=suite_place) if (group := _ranking_group(study, suite)) is not None]
    plainly = [metric for metric in study.metrics if not metric.retrieval]
    points = _points(study, [m for m in plainly if m.eps is not None], "clean")
    if points:
        found.insert(0, Group("Under attack", _curve_caption(study, points), _curve_panels(study, points, "")))
    return found


def _ranking_group(study: Study, suite: str) -> Group | None:
    """Of a suite of attacks on retrieval: mAP by attack at the main size, and against the size where there are more."""
    own = [m for m in study.metrics if m.suite == suite and m.attacked and m.figure == "mAP"]
    main = main_budget(own, suite)
    if main is None:
        return None
    shown = by_attack([m for m in own if m.eps == main or m.kind == "clean"])
    budget = next(m.budget for m in own if m.eps == main)
    side = own[0].side
    panels = [Panel(_attack_rows, f"by-{side}", shown)]
    bars = ", the bar the 95 % interval over seeds" if study.most_seeds > 1 else ""
    text = f"mAP after each attack at {budget}: each mark is a method's mean{bars}."
    points = _points(study, [m for m in own if m.eps is not None], "clean.mAP")
    if len({metric.eps for _, metric in points if metric.eps}) > 1:
        panels += _curve_panels(study, points, f"-{side}")
        text += f" {_curve_caption(study, points)}"
    return Group({"query": "Queries under attack", "gallery": "Gallery under attack"}.get(side, suite), text, panels)


def by_attack(metrics: Sequence[Metric]) -> list[Metric]:
    """In the order in which attacks are shown: not attacked, each attack, the worst case."""
    order = list(ATTACKS)
    return sorted(metrics, key=lambda m: order.index(m.kind) if m.kind in order else len(order) - 1.5)


def _points(study: Study, metrics: Sequence[Metric], clean: str) -> Points:
    """Points of the curve: the worst case where there is one, else the first attack; at 0 the same images."""
    sized = sorted((m for m in metrics if m.budget.endswith("/255")), key=lambda metric: metric.kind != "worst")
    if not sized:
        return []
    first = sized[0]
    same = [metric for metric in sized if (metric.suite, metric.kind) == (first.suite, first.kind)]
    points = sorted((float(255 * metric.eps), metric) for metric in same if metric.eps)
    start = Metric(first.suite, clean)
    return ([(0.0, start)] if start in study.metrics else []) + points


def _curve_caption(study: Study, points: Points) -> str:
    metric = points[-1][1]
    kind = "Worst-case" if metric.kind == "worst" else attack_title(metric.kind)
    figure = "accuracy" if metric.figure == "accuracy" else metric.figure_title
    thin = " Thin lines are runs, thick ones their means." if study.most_seeds > 1 else ""
    text = f"{kind} {figure} against the size of the perturbation; 0 is the same images, not attacked.{thin}"
    if study.challengers:
        text += f" Beside it the difference to {study.baseline}"
        text += ", with the 95 % interval over common seeds." if study.most_seeds > 1 else "."
    return text


def _curve_panels(study: Study, points: Points, ending: str) -> list[Panel]:
    panels = [Panel(_eps_curve, f"eps{ending}", points)]
    return panels + ([Panel(_eps_difference, f"epsdiff{ending}", points)] if study.challengers else [])


def _eps_curve(make: Any, study: Study, points: Points) -> tuple[Any, str]:
    figure = make(figsize=(PANEL, 3.0))
    ax = figure.subplots()
    for place, method in enumerate(study.methods):
        colour, marker = look(place)
        cells = [(eps, study.cells[method, m]) for eps, m in points if (method, m) in study.cells]
        for seed in sorted({s for _, cell in cells for s in cell.values}) if study.most_seeds > 1 else []:
            own = [(eps, 100 * cell.values[seed]) for eps, cell in cells if seed in cell.values]
            ax.plot(*zip(*own, strict=True), color=colour, lw=0.7, alpha=0.3)
        if cells:
            means = [(eps, 100 * cell.interval.mean) for eps, cell in cells]
            ax.plot(*zip(*means, strict=True), color=colour, marker=marker, lw=1.8, ms=5.5)
    ax.set_xlabel("eps in 1/255 of the pixel range", fontsize=9)
    ax.set_ylim(-2, 102)
    ax.set_xlim(left=-0.02 * points[-1][0])
    ax.grid(color=INK, alpha=0.12, lw=0.6)
    name = points[-1][1].figure_title
    ax.set_title(f"{name}, %", fontsize=10.5, loc="left", fontweight="bold")
    return figure, f"{name} against the size of the perturbation, a line a method"


def _eps_difference(make: Any, study: Study, points: Points) -> tuple[Any, str]:
    figure = make(figsize=(PANEL, 3.0))
    ax = figure.subplots()
    ax.axhline(0, color=INK, lw=1)
    step = points[-1][0] * 0.012  # side by side, or bars would hide each other
    for place, method in enumerate(study.methods):
        colour, marker = look(place)
        for eps, metric in points:
            cell = study.cells.get((method, metric))
            if cell is None or cell.paired is None:
                continue
            mean, low, high = (100 * v for v in cell.paired.interval)
            x = eps + step * (place - len(study.methods) / 2)
            if not math.isnan(low):
                ax.plot([x, x], [low, high], color=colour, lw=1.6, alpha=0.6)
            ax.plot([x], [mean], marker, color=colour, ms=5.5, mew=0)
    reach = max(2.0, *map(abs, ax.get_ylim()))
    ax.set_ylim(-reach, reach)
    ax.set_xlabel("eps in 1/255 of the pixel range", fontsize=9)
    ax.set_title(f"Difference to {plain(study.baseline)}, points", fontsize=10.5, loc="left", fontweight="bold")
    ax.grid(axis="y", color=INK, alpha=0.12, lw=0.6)
    name = points[-1][1].figure_title
    name = "accuracy" if name == "Accuracy" else name
    return figure, f"Difference to {study.baseline} in {name} at each size of the perturbation"


def _attack_rows(make: Any, study: Study, metrics: list[Metric]) -> tuple[Any, str]:
    """A row an attack, in it the methods below each other."""
    many = len(study.methods)
    figure = make(figsize=(PANEL, len(metrics) * (0.22 + 0.1 * min(many, 8)) + 0.9))
    ax = figure.subplots()
    for row, metric in enumerate(metrics):
        for place, method in enumerate(study.methods):
            cell = study.cells.get((method, metric))
            if cell is None:
                continue
            colour, marker = look(place)
            y = row + 0.7 * ((place + 0.5) / many - 0.5)
            mean, low, high = (100 * v for v in cell.interval)
            if not math.isnan(low):
                ax.plot([low, high], [y, y], color=colour, lw=1.6, alpha=0.5)
            ax.plot([mean], [y], marker, color=colour, ms=5, mew=0)
    for row in range(1, len(metrics)):
        ax.axhline(row - 0.5, color=INK, lw=0.6, alpha=0.12)
    ax.set_yticks(range(len(metrics)), [plain(attack_title(metric.kind)) for metric in metrics])
    ax.set_ylim(len(metrics) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=INK, alpha=0.12, lw=0.6)
    ax.set_xlim(-2, 102)
    ax.set_xlabel("%, higher is better", fontsize=9)
    budget = next((metric.budget for metric in metrics if metric.budget), "")
    ax.set_title(f"mAP by attack, {budget}", fontsize=10.5, loc="left", fontweight="bold")
    return figure, f"mAP after each attack at {budget}, a mark a method; the figures are in the tables"
