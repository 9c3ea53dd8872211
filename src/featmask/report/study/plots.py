"""Pictures of a study, each a panel that is as readable on a phone as on a desk."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from ...drawing.svg import dash, drawn, look, marks, row_panel, sign
from ...records.figures import Figure
from .attacked import attack_groups
from .degraded import degraded_groups
from .lines import Group, Panel
from .tables import Study, sampling
from .trained import training_groups


def legend(study: Study) -> list[tuple[str, int, str, bool]]:
    """Of every picture of the page: method, number of its colour, sign, whether its lines are broken."""
    return [(method, *sign(place), dash(place) != "-") for place, method in enumerate(study.methods)]


def pictures(study: Study) -> list[Group]:
    """Every picture that the runs have data for."""
    groups = [_every_run(study), *attack_groups(study), *degraded_groups(study), *training_groups(study)]
    return [render(group) for group in groups if group.panels]


def render(group: Group) -> Group:
    """The group with its panels drawn."""
    panels, small = ([drawn(panel.draw, panel.prefix) for panel in own] for own in (group.panels, group.small))
    return group._replace(panels=panels, small=small)


def _every_run(study: Study) -> Group:
    text = "Each mark is a training run"
    if study.most_seeds > 1:
        text += ", the upright bar the mean, the band its 95 % interval over seeds"
    else:
        text += ", the thin line the range that other test samples would give that one model (Wilson, 95 %)"
        if any(not metric.counted for metric in study.headline):
            text += ", where the figure is a counted share"
    panels = [Panel(f"dots{i}", partial(_dots, study, metric)) for i, metric in enumerate(study.headline)]
    return Group("Every run", f"{text}.", panels)


def _dots(study: Study, metric: Figure, make: Any) -> tuple[Any, str]:
    arrow = "lower is better" if metric.lower_is_better else "higher is better"
    label = f"{'%, ' if metric.scale != 1 else ''}{arrow}"
    figure, ax = row_panel(make, metric.title, label, study.methods)
    for place, method in enumerate(study.methods):
        cell = study.cells.get((method, metric))
        if cell is None:
            continue
        colour = look(place)[0]
        mean, low, high = (v * metric.scale for v in cell.interval)
        if not math.isnan(low):
            ax.plot([low, high], [place, place], color=colour, lw=6, alpha=0.28, solid_capstyle="butt")
        values = [v * metric.scale for v in cell.values.values()]
        marks(ax, place, place, values, mean if len(values) > 1 else None)
        if study.most_seeds == 1 and (extent := sampling(study.runs_of(method)[0], metric)) is not None:
            ax.plot([v * metric.scale for v in extent[1:]], [place, place], color=colour, lw=1.1)
    ax.margins(x=0.08)
    # a hair's breadth must not look like a gulf
    low, high = ax.get_xlim()
    short = max(0.0, (4.0 if metric.scale != 1 else 0.1) - (high - low))
    low, high = low - short / 2, high + short / 2
    if metric.scale != 1:  # an interval over few seeds may leave what a share can be; the axis does not
        low, high = max(low, -1.0), min(high, 101.0)
    ax.set_xlim(low, high)
    ax.locator_params(axis="x", nbins=6)
    return figure, f"{metric.title}: every run of every method; the figures are in the tables"
