"""Pictures of what attacks leave standing: against their size, and attack by attack at one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from ...drawing.svg import INK, look, panel, plain, row_panel
from ...records.figures import Figure
from ...records.names import CLEAN, ranking_name
from ...records.titles import NORMS, SUITES, attack_place, attack_title
from ..values import UNITS
from .choice import main_budget
from .lines import Axis, Group, Panel, along, band_text, line_panels
from .retrieval import suite_place
from .tables import Study

#: Place on the axis and the figure there, from 0 up.
Sizes = list[tuple[float, Figure]]


def attack_groups(study: Study) -> list[Group]:
    """What there is to draw, a group per suite of attacks."""
    found = []
    sized = [metric for metric in study.metrics if metric.eps is not None]
    # the usual norm first, whatever was measured first
    order = list(UNITS)
    plainly = sorted((m for m in sized if not m.retrieval), key=lambda m: (order.index(m.norm), m.suite != m.norm))
    for suite in dict.fromkeys(metric.suite for metric in plainly):
        sizes = _sizes([metric for metric in sized if metric.suite == suite], study, CLEAN)
        if sizes:
            title = f"Under attack: {SUITES.get(suite, NORMS[sizes[-1][1].norm])}"
            found.append(_group(study, title, sizes, f"eps-{suite}"))
    ranked = dict.fromkeys(metric.suite for metric in sized if metric.attacked)
    return found + [g for suite in sorted(ranked, key=suite_place) if (g := _ranking_group(study, suite)) is not None]


def _group(study: Study, title: str, sizes: Sizes, prefix: str) -> Group:
    """Against the size: every method, the differences to the baseline, and each method beside it."""
    metric = sizes[-1][1]
    lines = along(study, sizes)
    kind = "Worst-case" if metric.worst else attack_title(metric.kind)
    figure = "accuracy" if metric.measure == "accuracy" else metric.measure_title
    _, label, short = UNITS[metric.norm]
    text = f"{kind} {figure} against the size of the perturbation"
    axis = Axis(f"{metric.measure_title}, %", label, text, whole=True, short=short)
    panels, small = line_panels(study, lines, axis, prefix)
    text += "; 0 is the same images, not attacked."
    if study.challengers:
        panels.append(Panel(f"diff-{prefix}", partial(_difference, study, sizes)))
        text += f" Beside it the difference to {study.baseline}"
        text += ", with the 95 % interval over common seeds." if study.most_seeds > 1 else "."
    return Group(title, text + band_text(study, lines), panels, small)


def _ranking_group(study: Study, suite: str) -> Group | None:
    """Of a suite of attacks on retrieval: mAP by attack at the main size, and against the size where there are more."""
    own = [m for m in study.metrics if m.suite == suite and m.attacked and m.measure == "mAP"]
    main = main_budget(own, suite)
    if main is None:
        return None
    shown = by_attack([m for m in own if m.eps == main or m.kind == CLEAN])
    budget = next(m.budget for m in own if m.eps == main)
    side = own[0].side
    bars = ", the bar the 95 % interval over seeds" if study.most_seeds > 1 else ""
    text = f"mAP after each attack at {budget}: each mark is a method's mean{bars}."
    panels = [Panel(f"by-{side or suite}", partial(_attack_rows, study, shown))]
    title = {"query": "Queries under attack", "gallery": "Gallery under attack"}.get(side, suite)
    sizes = _sizes([m for m in own if m.eps is not None], study, ranking_name(CLEAN, "mAP"))
    if len({metric.eps for _, metric in sizes if metric.eps}) < 2:
        return Group(title, text, panels)
    curve = _group(study, title, sizes, f"eps-{side or suite}")
    return Group(title, f"{text} {curve.caption}", panels + curve.panels, curve.small)


def by_attack(metrics: Sequence[Figure]) -> list[Figure]:
    """In the order in which attacks are shown: not attacked, each attack, the worst case."""
    return sorted(metrics, key=lambda metric: attack_place(metric.kind))


def _sizes(metrics: Sequence[Figure], study: Study, clean: str) -> Sizes:
    """Of one suite: the worst case where there is one, else the first attack; at 0 the same images."""
    ordered = sorted(metrics, key=lambda metric: not metric.worst)
    if not ordered:
        return []
    first = ordered[0]
    factor = UNITS[first.norm][0]
    found = sorted((factor * float(m.eps), m) for m in ordered if m.kind == first.kind and m.eps)
    start = Figure(first.suite, clean)
    return ([(0.0, start)] if found and start in study.metrics else []) + found


def _difference(study: Study, sizes: Sizes, make: Any) -> tuple[Any, str]:
    label = UNITS[sizes[-1][1].norm][1]
    figure, ax = panel(make, f"Difference to {plain(study.baseline)}, points", label, grid="y")
    ax.axhline(0, color=INK, lw=1)
    last, many = sizes[-1][0], len(study.methods)
    gap = min((b[0] - a[0] for a, b in pairwise(sizes)), default=last)
    step = min(last * 0.012, 0.8 * gap / many)  # side by side, or bars would hide each other
    for place, method in enumerate(study.methods):
        colour, marker = look(place)
        for size, metric in sizes:
            cell = study.cells.get((method, metric))
            if cell is None or cell.paired is None:
                continue
            mean, low, high = (100 * v for v in cell.paired.interval)
            x = size + step * (place - many / 2)
            if not math.isnan(low):
                ax.plot([x, x], [low, high], color=colour, lw=1.6, alpha=0.6)
            ax.plot([x], [mean], marker, color=colour, ms=5.5, mew=0)
    reach = max(2.0, *map(abs, ax.get_ylim()))
    ax.set_ylim(-reach, reach)
    name = sizes[-1][1].measure_title
    name = "accuracy" if name == "Accuracy" else name
    return figure, f"Difference to {study.baseline} in {name} at each size of the perturbation"


def _attack_rows(study: Study, metrics: list[Figure], make: Any) -> tuple[Any, str]:
    """A row per attack, in it the methods below each other."""
    many = len(study.methods)
    budget = next((metric.budget for metric in metrics if metric.budget), "")
    titles = [attack_title(metric.kind) for metric in metrics]
    height = len(metrics) * (0.22 + 0.1 * min(many, 8)) + 0.9
    figure, ax = row_panel(make, f"mAP by attack, {budget}", "%, higher is better", titles, height)
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
    ax.set_xlim(-2, 102)
    return figure, f"mAP after each attack at {budget}, a mark a method; the figures are in the tables"
