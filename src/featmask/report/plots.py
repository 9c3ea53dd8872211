"""Pictures of a study, each a panel that is as readable on a phone as on a desk."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .attacked import attack_groups
from .metric import Metric
from .svg import INK, MARKERS, PANEL, drawn, look, plain
from .tables import Study, sampling

#: Key in the training log, title, factor.
CURVES = (
    ("train_loss", "Training loss", 1.0),
    ("val_loss", "Validation loss", 1.0),
    ("val_accuracy", "Validation accuracy, %", 100.0),
    ("val_mAP", "Validation mAP, %", 100.0),
    ("val_rank1", "Validation Rank-1, %", 100.0),
)
#: Of re-identification the classifier that is trained beside the features: it knows the training identities only.
IDENTITIES = ("train_accuracy", "Training identities named right, %", 100.0)


@dataclass(frozen=True)
class Pictures:
    """Panels that belong together; ``panels`` are inline SVG."""

    title: str
    caption: str
    panels: list[str]


def legend(study: Study) -> list[tuple[str, int, str]]:
    """Method, number of its colour, sign: for a legend that every picture of the page shares."""
    return [(method, i % 7, MARKERS[look(i)[1]]) for i, method in enumerate(study.methods)]


def pictures(study: Study) -> list[Pictures]:
    """Every picture that the runs have data for."""
    seeds = "Each mark is a training run"
    if study.most_seeds > 1:
        seeds += ", the upright bar the mean, the band its 95 % interval over seeds"
    else:
        seeds += ", the thin line the range that other test samples would give that one model (Wilson, 95 %)"
        if any(not metric.counted for metric in study.headline):
            seeds += ", where the figure is a counted share"
    dots = [_draw(_dots, study, f"dots{i}", metric) for i, metric in enumerate(study.headline)]
    found = [Pictures("Every run", f"{seeds}.", dots)]
    for group in attack_groups(study):
        found.append(
            Pictures(group.title, group.caption, [_draw(p.draw, study, p.prefix, p.what) for p in group.panels])
        )
    choice = (*CURVES, IDENTITIES) if any(metric.retrieval for metric in study.metrics) else CURVES
    curves = [c for c in choice if any(_finite(line.get(c[0])) for run in study.runs for line in run.epochs)]
    if curves:
        panels = [_draw(_curve, study, f"train{i}", curve) for i, curve in enumerate(curves)]
        thin = " Thin lines are runs, thick ones their means." if study.most_seeds > 1 else ""
        found.append(Pictures("Training", f"By epoch.{thin}", panels))
    shares = {method: study.info(method, "dropped_fraction") for method in study.methods}
    if any(shares.values()):
        text = (
            "Share of the activations that each method overwrites or zeroes in training, measured: at the same "
            "nominal p methods differ in it, so strengths are compared by it."
        )
        found.append(Pictures("How much is dropped", text, [_draw(_bars, study, "dropped", shares)]))
    return [group for group in found if group.panels]


def _draw(draw: Callable[[Any, Study, Any], tuple[Any, str]], study: Study, prefix: str, what: Any) -> str:
    return drawn(lambda make: draw(make, study, what), prefix)


def _rows(figure: Any, study: Study) -> Any:
    """Axes with a row a method."""
    ax = figure.subplots()
    ax.set_yticks(range(len(study.methods)), [plain(method) for method in study.methods])
    ax.set_ylim(len(study.methods) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=INK, alpha=0.12, lw=0.6)
    return ax


def _size(study: Study) -> tuple[float, float]:
    return PANEL, 0.3 * len(study.methods) + 0.85


def _dots(make: Any, study: Study, metric: Metric) -> tuple[Any, str]:
    figure = make(figsize=_size(study))
    ax = _rows(figure, study)
    for place, method in enumerate(study.methods):
        cell = study.cells.get((method, metric))
        if cell is None:
            continue
        colour, marker = look(place)
        mean, low, high = (v * metric.scale for v in cell.interval)
        if not math.isnan(low):
            ax.plot([low, high], [place, place], color=colour, lw=6, alpha=0.28, solid_capstyle="butt")
        values = [v * metric.scale for v in cell.values.values()]
        ax.plot(values, [place] * len(values), marker, color=colour, ms=5.5, alpha=0.8, mew=0)
        if len(values) > 1:
            ax.plot([mean], [place], "|", color=INK, ms=13, mew=1.7)
        elif study.most_seeds == 1 and (extent := sampling(study.runs_of(method)[0], metric)) is not None:
            ax.plot([v * metric.scale for v in extent[1:]], [place, place], color=colour, lw=1.1)
    ax.set_title(metric.title, fontsize=10.5, loc="left", fontweight="bold")
    arrow = "lower is better" if metric.lower_is_better else "higher is better"
    ax.set_xlabel(f"{'%, ' if metric.scale != 1 else ''}{arrow}", fontsize=9)
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


def _curve(make: Any, study: Study, curve: tuple[str, str, float]) -> tuple[Any, str]:
    key, title, scale = curve
    figure = make(figsize=(PANEL, 2.9))
    ax = figure.subplots()
    for place, method in enumerate(study.methods):
        colour, marker = look(place)
        by_epoch: dict[float, list[float]] = {}
        runs = study.runs_of(method)
        for run in runs:
            own = [(line["epoch"], scale * line[key]) for line in run.epochs if _finite(line.get(key))]
            for epoch, value in own:
                by_epoch.setdefault(epoch, []).append(value)
            if own and len(runs) > 1:
                ax.plot(*zip(*own, strict=True), color=colour, lw=0.7, alpha=0.3)
        means = [(epoch, sum(values) / len(values)) for epoch, values in sorted(by_epoch.items())]
        if means:
            every = max(1, len(means) // 8)
            ax.plot(*zip(*means, strict=True), color=colour, lw=1.7, marker=marker, ms=4.5, markevery=every)
    ax.set_title(title, fontsize=10.5, loc="left", fontweight="bold")
    ax.set_xlabel("epoch", fontsize=9)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(color=INK, alpha=0.12, lw=0.6)
    return figure, f"{title} by epoch, a line a method"


def _bars(make: Any, study: Study, shares: dict[str, float | None]) -> tuple[Any, str]:
    figure = make(figsize=_size(study))
    ax = _rows(figure, study)
    for place, method in enumerate(study.methods):
        share = shares[method]
        text = "not measured" if share is None else f"{100 * share:.2f}"
        ax.barh(place, 100 * (share or 0), height=0.55, color=look(place)[0], alpha=0.8)
        ax.annotate(text, (100 * (share or 0), place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_xlabel("% of activations", fontsize=9)
    ax.margins(x=0.14)
    ax.set_xlim(left=0)
    return figure, "Measured share of activations dropped in training, a bar a method"


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
