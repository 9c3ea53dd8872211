"""Pictures of the training itself: its curves, what an epoch costs, how much is dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean, median
from typing import Any

from ...drawing.svg import PANEL, dash, look, marks, panel, plain, row_panel
from ..values import finite
from .lines import FEW, Group, Panel
from .tables import Study

#: Key in the training log -> title, factor.
CURVES = {
    "train_loss": ("Training loss", 1.0),
    "val_loss": ("Validation loss", 1.0),
    "val_accuracy": ("Validation accuracy, %", 100.0),
    "val_mAP": ("Validation mAP, %", 100.0),
    "val_rank1": ("Validation Rank-1, %", 100.0),
}
#: Of re-identification the classifier that is trained beside the features: it knows the training identities only.
IDENTITIES = {"train_accuracy": ("Training identities named right, %", 100.0)}
#: Method -> a number for each of its runs.
PerRun = Mapping[str, Sequence[float]]


def training_groups(study: Study) -> list[Group]:
    """Curves, cost and dropped share, of which the runs hold them."""
    return [group for group in (_curves(study), _cost(study), _dropped(study)) if group is not None]


def _curves(study: Study) -> Group | None:
    choice = CURVES | IDENTITIES if any(metric.retrieval for metric in study.metrics) else CURVES
    found = [key for key in choice if any(finite(line.get(key)) for run in study.runs for line in run.epochs)]
    if not found:
        return None
    text = "By epoch."
    if study.most_seeds > 1:
        thin = len(study.methods) <= FEW
        text += " Thin lines are runs, thick ones their means." if thin else " Means over seeds."
    panels = [Panel(f"train{i}", partial(_curve, study, key, *choice[key])) for i, key in enumerate(found)]
    return Group("Training", text, panels)


def _curve(study: Study, key: str, title: str, scale: float, make: Any) -> tuple[Any, str]:
    figure, ax = panel(make, title, "epoch", size=(PANEL, 2.9))
    for place, method in enumerate(study.methods):
        colour, marker = look(place)
        by_epoch: dict[float, list[float]] = {}
        runs = study.runs_of(method)
        for run in runs:
            own = [(line["epoch"], scale * line[key]) for line in run.epochs if finite(line.get(key))]
            for epoch, value in own:
                by_epoch.setdefault(epoch, []).append(value)
            if own and len(runs) > 1 and len(study.methods) <= FEW:
                ax.plot(*zip(*own, strict=True), color=colour, lw=0.7, alpha=0.3)
        means = [(epoch, fmean(values)) for epoch, values in sorted(by_epoch.items())]
        if means:
            every = max(1, len(means) // 8)
            ax.plot(*zip(*means, strict=True), color=colour, lw=1.7, ls=dash(place), marker=marker, ms=4.5, mew=0,
                    markevery=every)  # fmt: skip
    ax.xaxis.get_major_locator().set_params(integer=True)
    return figure, f"{title} by epoch, a line a method"


def _cost(study: Study) -> Group | None:
    seconds = _per_run(study, "seconds_per_epoch")
    if not seconds:
        return None
    base = median(seconds[study.baseline]) if study.baseline in seconds else 0.0
    text = "Time that an epoch of training takes, every run a mark, the upright bar the median"
    times, label, closing = seconds, "seconds", "."
    if base:
        times = {method: [value / base for value in own] for method, own in seconds.items()}
        label = f"times {plain(study.baseline)}, lower is better"
        closing = f": in multiples of the median of {study.baseline}, which is {base:.3g} s on the machine named below."
        closing += " Whatever else it did meanwhile is in it."
    return Group("Cost of an epoch", text + closing, [Panel("cost", partial(_marks, study, times, label))])


def _marks(study: Study, values: PerRun, label: str, make: Any) -> tuple[Any, str]:
    figure, ax = row_panel(make, "", label, study.methods)
    for place, method in enumerate(study.methods):
        own = values.get(method)
        if not own:
            continue
        marks(ax, place, place, own, median(own) if len(own) > 1 else None)
        ax.annotate(f"{median(own):.2f}", (1.0, place), (4, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    low, high = ax.get_xlim()
    short = max(0.0, 0.2 * high - (high - low))
    ax.set_xlim(max(0.0, low - short / 2), high + short / 2)
    ax.locator_params(axis="x", nbins=6)
    return figure, f"Cost of an epoch of every run, {label}"


def _dropped(study: Study) -> Group | None:
    shares = _per_run(study, "dropped_fraction")
    if not any(value for own in shares.values() for value in own):
        return None
    text = (
        "Share of the activations that each method overwrites or zeroes in training, measured: at the same nominal p "
        "methods differ in it, so strengths are compared by it."
    )
    return Group("How much is dropped", text, [Panel("dropped", partial(_bars, study, shares))])


def _bars(study: Study, shares: PerRun, make: Any) -> tuple[Any, str]:
    figure, ax = row_panel(make, "", "% of activations", study.methods)
    for place, method in enumerate(study.methods):
        share = fmean(shares[method]) if method in shares else None
        text = "not measured" if share is None else f"{100 * share:.2f}"
        ax.barh(place, 100 * (share or 0), height=0.55, color=look(place)[0], alpha=0.8)
        ax.annotate(text, (100 * (share or 0), place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    ax.margins(x=0.14)
    ax.set_xlim(left=0)
    return figure, "Measured share of activations dropped in training, a bar a method"


def _per_run(study: Study, key: str) -> dict[str, list[float]]:
    found = {method: [getattr(run.info, key) for run in study.runs_of(method)] for method in study.methods}
    kept = {method: [float(value) for value in values if finite(value)] for method, values in found.items()}
    return {method: values for method, values in kept.items() if values}
