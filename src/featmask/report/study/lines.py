"""A figure along an axis, a line per method: the mean over seeds, and around it the interval of that mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ...drawing.svg import PANEL, dash, look, panel, plain
from ...records.figures import Figure
from ...stats import mean_interval
from .tables import Study

#: Along the axis, what a method reached there: seed -> figure.
Points = Sequence[tuple[float, Mapping[int, float]]]
#: Method -> its points.
Lines = Mapping[str, Points]
#: Bands of more methods than these cover each other: each method is then drawn beside the baseline, too.
FEW = 4
#: Of a panel that shows two methods.
_SMALL = 0.68


class Panel(NamedTuple):
    """A prefix for the ids of a panel, and how it is drawn: given matplotlib's ``Figure``, one and what it shows."""

    prefix: str
    draw: Callable[[Any], tuple[Any, str]]


class Group(NamedTuple):
    """Panels that share a title and a caption; ``small`` ones show a pair of methods each; once drawn, inline SVG."""

    title: str
    caption: str
    panels: list[Any]
    small: list[Any] = []  # noqa: RUF012 - never changed


class Axis(NamedTuple):
    """What stands above a panel and below it, and is ``said`` to those who hear the page; ``whole``: the other axis
    goes from 0 to 100 %, whatever is shown; ``short``: the label where there is little room.
    """

    title: str
    label: str
    said: str
    whole: bool = False
    short: str = ""


def along(study: Study, metrics: Sequence[tuple[float, Figure]]) -> dict[str, list[tuple[float, dict[int, float]]]]:
    """The lines of some figures, each at its place on the axis; methods without any are left out."""
    found = {
        method: [(x, study.cells[method, metric].values) for x, metric in metrics if (method, metric) in study.cells]
        for method in study.methods
    }
    return {method: points for method, points in found.items() if points}


def line_panels(study: Study, lines: Lines, axis: Axis, prefix: str) -> tuple[list[Panel], list[Panel]]:
    """A panel of all methods; and, where their bands would cover each other, one of each beside the baseline."""
    many = len(lines) > FEW
    first = [Panel(prefix, partial(_panel, study, lines, axis, banded(study) and not many, 1.0))]
    if not many or not banded(study) or study.baseline not in lines:
        return first, []
    small = []
    for place, method in enumerate(study.methods):
        if method != study.baseline and method in lines:
            pair = {name: lines[name] for name in (study.baseline, method)}
            said = f"{axis.said}: {method} beside {study.baseline}"
            own = axis._replace(title=plain(method, 28), label=axis.short or axis.label, said=said)
            small.append(Panel(f"{prefix}-{place}", partial(_panel, study, pair, own, True, _SMALL)))
    return first, small


def banded(study: Study) -> bool:
    """Whether there are intervals to draw."""
    return study.most_seeds > 1


def band_text(study: Study, lines: Lines) -> str:
    """The sentence on bands that goes with such panels."""
    if not banded(study):
        return ""
    if len(lines) > FEW:
        return f" In the small panels each method beside {study.baseline}; the bands are the 95 % intervals over seeds."
    return " The bands are the 95 % intervals over seeds."


def _panel(study: Study, lines: Lines, axis: Axis, bands: bool, size: float, make: Any) -> tuple[Any, str]:
    figure, ax = panel(make, axis.title, axis.label, size=(PANEL * size, 3.0 * (size + 1) / 2))
    if axis.whole:
        ax.set_ylim(-2, 102)
    for method, points in lines.items():
        draw_line(ax, study.methods.index(method), points, bands)
    last = max(x for points in lines.values() for x, _ in points)
    ax.set_xlim(left=min(-0.02 * last, *(x for points in lines.values() for x, _ in points)))
    ax.locator_params(axis="both", nbins=6)
    if not axis.whole:
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, -2.0), min(high, 102.0))
    return figure, axis.said


def draw_line(ax: Any, place: int, points: Points, bands: bool) -> None:
    """One method's means in percent, joined; a band where there is more than one seed."""
    colour, marker = look(place)
    xs = [x for x, _ in points]
    intervals = [mean_interval(list(values.values())) for _, values in points]
    sure = [(x, 100 * i.low, 100 * i.high) for x, i in zip(xs, intervals, strict=True) if not math.isnan(i.low)]
    if bands and sure:
        # an interval may leave what a share can be; a picture of shares does not
        x, low, high = zip(*sure, strict=True)
        ax.fill_between(x, [max(v, 0.0) for v in low], [min(v, 100.0) for v in high], color=colour, alpha=0.18, lw=0)
    means = [100 * interval.mean for interval in intervals]
    ax.plot(xs, means, color=colour, marker=marker, ls=dash(place), lw=1.7, ms=5.2, mew=0)
