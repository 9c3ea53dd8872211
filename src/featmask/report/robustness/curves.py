"""Pictures of robustness: accuracy against the size of an attack, the radii that flip samples, squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...drawing.svg import INK, PALETTE, PANEL, drawn, look, panel, plain, sign
from ...records.figures import Figure
from ...records.titles import NORMS, attack_place, attack_title
from ...stats import wilson
from ..values import UNITS
from . import figures
from .figures import Flips, Share, clean_share, flips_of
from .read import Subject

#: A legend's entry: text, number of its colour (None: the page's ink), sign.
Entry = tuple[str, int | None, str]
#: The worst case of a single model, told from every attack by ink and shape.
STAR = "*"
#: Intervals along a curve, at most.
_BAND = 40
_HISTOGRAM = 24


def legend(subjects: Sequence[Subject], metrics: Callable[[Subject], list[Figure]]) -> list[Entry]:
    """Of pictures of some figures: a sign per model, or per attack where there is one model."""
    if len(subjects) > 1:
        return [(subject.name, *sign(i)) for i, subject in enumerate(subjects)]
    kinds = _kinds(metrics(subjects[0]))
    entries: list[Entry] = [("Worst case", None, "★")] if kinds else []
    return entries + [(attack_title(kind), *sign(i)) for i, kind in enumerate(kinds)]


def eps_panels(subjects: Sequence[Subject]) -> list[str]:
    """A panel per norm."""
    draw = _one_model if len(subjects) == 1 else _models
    return [drawn(partial(draw, subjects, norm), f"eps-{norm}") for norm in figures.norms(*subjects)]


def flip_panels(subjects: Sequence[Subject]) -> list[str]:
    """A histogram per norm and model that was searched for radii."""
    found = []
    for norm in figures.norms(*subjects):
        for number, subject in enumerate(subjects):
            flips = flips_of(subject, norm)
            if flips is not None and flips.highest > 0:
                name = subject.name if len(subjects) > 1 else ""
                found.append(drawn(partial(_bars, flips, norm, name), f"flip-{norm}-{number}"))
    return found


def square_panel(subjects: Sequence[Subject]) -> list[str]:
    """Accuracy against the side of a square, if squares were measured."""
    return [drawn(partial(_squares, subjects), "squares")] if figures.sides(*subjects) else []


def _kinds(metrics: Sequence[Figure]) -> list[str]:
    return sorted({metric.attack.without_norm for metric in metrics if not metric.worst}, key=attack_place)


def _axes(make: Any, title: str, label: str) -> tuple[Any, Any]:
    figure, ax = panel(make, title, label, size=(PANEL, 3.1))
    ax.set_ylim(-2, 102)
    return figure, ax


def _chance(ax: Any, subjects: Sequence[Subject]) -> None:
    counts = {subject.classes for subject in subjects} - {None}
    for classes in sorted(count for count in counts if count):
        ax.axhline(100 / classes, color=INK, lw=0.9, ls=(0, (4, 3)), alpha=0.6)
        # on the left, where curves are far above it
        ax.annotate("chance", (0, 100 / classes), (3, 2), xycoords=("axes fraction", "data"),
                    textcoords="offset points", fontsize=8.5, va="bottom", alpha=0.8)  # fmt: skip


def _worst_points(subject: Subject, norm: str) -> list[tuple[float, Share]]:
    scale = UNITS[norm][0]
    pairs = [(scale * float(eps), figures.worst(subject, norm, eps)) for eps in figures.budgets(subject, norm)]
    return [(x, share) for x, share in pairs if share is not None]


def _steps(ax: Any, flips: Flips, norm: str, colour: str) -> None:
    """The curve of the smallest radii, and Wilson's interval along it."""
    x, y = figures.curve(flips)
    scale = UNITS[norm][0]
    ax.step(scale * x, 100 * y, where="post", color=colour, lw=1.7)
    some = np.unique(np.linspace(0, len(x) - 1, min(len(x), _BAND)).astype(int))
    bands = [wilson(round(y[i] * flips.n), flips.n) for i in some]
    low, high = ([100 * getattr(band, end) for band in bands] for end in ("low", "high"))
    ax.fill_between(scale * x[some], low, high, color=colour, alpha=0.16, lw=0)


def _line(ax: Any, points: list[tuple[float, Share]], start: Share | None, colour: str) -> None:
    """Where no radii were searched for: straight between the sizes that were measured."""
    joined = ([(0.0, start)] if start is not None else []) + points
    ax.plot([x for x, _ in joined], [100 * share.value for _, share in joined], color=colour, lw=1.4, ls=(0, (5, 2)))
    sure = [(x, 100 * share.interval.low, 100 * share.interval.high) for x, share in joined if share.interval]
    if len(sure) == len(joined):
        ax.fill_between(*zip(*sure, strict=True), color=colour, alpha=0.16, lw=0)


def _one_model(subjects: Sequence[Subject], norm: str, make: Any) -> tuple[Any, str]:
    """Every attack at every size, the worst case among them."""
    subject = subjects[0]
    scale, label, _ = UNITS[norm]
    figure, ax = _axes(make, f"Right, %, {NORMS[norm]}", label)
    _chance(ax, subjects)
    every = figures.attack_metrics(subject)
    flips, points, kinds = flips_of(subject, norm), _worst_points(subject, norm), _kinds(every)
    if flips is not None:
        _steps(ax, flips, norm, INK)
    else:
        _line(ax, points, clean_share(subject), INK)
    own = [metric for metric in every if metric.norm == norm and not metric.worst]
    top = max((scale * float(metric.eps or 0) for metric in own), default=1.0)
    for metric in own:
        place = kinds.index(metric.attack.without_norm)
        colour, marker = look(place)
        # side by side, or those that find the same would hide each other
        x = scale * float(metric.eps or 0) + 0.011 * top * (place - (len(kinds) - 1) / 2)
        ax.plot([x], [100 * subject.suites[metric.suite].metrics[metric.name]], marker, color=colour, ms=4.6, mew=0)
    for x, share in points:
        ax.plot([x], [100 * share.value], STAR, color=INK, ms=10, mew=0, zorder=5)
    ax.set_xlim(left=-0.03 * max([top, *(x for x, _ in points)]))
    return figure, f"Accuracy against the size of the perturbation in {NORMS[norm]}; the figures are in the table"


def _models(subjects: Sequence[Subject], norm: str, make: Any) -> tuple[Any, str]:
    """A curve per model."""
    figure, ax = _axes(make, f"Right at the worst, %, {NORMS[norm]}", UNITS[norm][1])
    _chance(ax, subjects)
    for place, subject in enumerate(subjects):
        colour, marker = look(place)
        flips, points = flips_of(subject, norm), _worst_points(subject, norm)
        if flips is not None:
            _steps(ax, flips, norm, colour)
        elif points:
            _line(ax, points, clean_share(subject), colour)
        ax.plot([x for x, _ in points], [100 * share.value for _, share in points], marker, color=colour, ms=6, mew=0)
    ax.set_xlim(left=-0.02 * ax.get_xlim()[1])
    return figure, f"Worst-case accuracy against the size of the perturbation in {NORMS[norm]}, a line a model"


def _bars(flips: Flips, norm: str, name: str, make: Any) -> tuple[Any, str]:
    """A histogram of the radii; beside it what was wrong before and what was never flipped."""
    scale, label, _ = UNITS[norm]
    head = f"{plain(name)}, {NORMS[norm]}" if name else NORMS[norm]
    figure, ax = panel(make, f"Samples, %, {head}", label, size=(PANEL, 2.9), grid="y")
    top = scale * flips.highest
    edges = np.linspace(0, top, _HISTOGRAM + 1)
    width = edges[1]
    found = scale * flips.radii[(flips.radii > 0) & np.isfinite(flips.radii)]
    heights = 100 * np.histogram(found, edges)[0] / max(flips.n, 1)
    ax.bar(edges[:-1], heights, width * 0.92, align="edge", color=PALETTE[0], lw=0)
    sides = [(-2.5 * width, flips.wrong, PALETTE[6]), (top + 2.5 * width, flips.unflipped, PALETTE[2])]
    for x, share, colour in sides:
        ax.bar([x], [100 * share], 2 * width, color=colour, lw=0)
        ax.annotate(f"{100 * share:.1f}", (x, 100 * share), (0, 2), textcoords="offset points", ha="center",
                    fontsize=8.5)  # fmt: skip
    middle = scale * flips.quantile(0.5)
    if np.isfinite(middle):
        ax.axvline(middle, color=INK, lw=1.1, ls=(0, (4, 3)))
        ax.annotate("median", (middle, 1), (3, -2), xycoords=("data", "axes fraction"),
                    textcoords="offset points", fontsize=8.5, va="top")  # fmt: skip
    inner = [x for x in ax.get_xticks() if 0 <= x <= top * 0.93]
    ax.set_xticks([sides[0][0], *inner, sides[1][0]], ["wrong\nbefore", *(f"{x:g}" for x in inner), "never"])
    ax.set_xlim(-4.6 * width, top + 4.6 * width)
    ax.margins(y=0.14)
    return figure, f"Smallest radius found that flips a sample, {NORMS[norm]} {name}; figures in the table"


def _squares(subjects: Sequence[Subject], make: Any) -> tuple[Any, str]:
    figure, ax = _axes(make, "Right, %", "side of the square, % of the image's shorter side")
    _chance(ax, subjects)
    if len(subjects) == 1:
        every = figures.region_metrics(subjects[0])
        for place, kind in enumerate(_kinds(every)):
            own = [metric for metric in every if metric.kind == kind]
            xs = [float(100 * (metric.square or 0)) for metric in own]
            ys = [100 * subjects[0].suites[metric.suite].metrics[metric.name] for metric in own]
            colour, marker = look(place)
            ax.plot(xs, ys, color=colour, marker=marker, lw=1.3, ms=5, mew=0)
    for place, subject in enumerate(subjects):
        shares = [(float(100 * side), figures.worst_square(subject, side)) for side in figures.sides(subject)]
        points = [(x, share) for x, share in shares if share]
        colour, marker = look(place) if len(subjects) > 1 else (INK, STAR)
        _line(ax, points, clean_share(subject), colour)
        ax.plot([x for x, _ in points], [100 * s.value for _, s in points], marker, color=colour, ms=8, mew=0)
    ax.set_xlim(left=-0.02 * ax.get_xlim()[1])
    return figure, "Accuracy against the side of a hidden or replaced square; the figures are in the table"
