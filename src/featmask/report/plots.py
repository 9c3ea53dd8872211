"""Pictures as inline SVG: text stays text, lines follow the page's colour, bytes repeat for the same input."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Iterable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from .tables import Metric, Study

#: Okabe and Ito's palette, safe for colour-blind readers; black is left to the page's own colour.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
MARKERS = "osD^vPX"
#: Stands for the page's text colour while matplotlib draws.
INK = "#010203"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "featmask",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "legend.frameon": False,
}


def colours(study: Study) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each method: never told apart by colour alone."""
    return {
        method: (PALETTE[i % len(PALETTE)], MARKERS[(i + i // len(PALETTE)) % len(MARKERS)])
        for i, method in enumerate(study.methods)
    }


def seed_dots(study: Study, metrics: Iterable[Metric]) -> str:
    """A panel a figure: every seed of every method as a dot, mean and 95 % interval as a line."""
    shown = list(metrics)
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    looks = colours(study)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.3 * columns + 0.6, rows * (0.34 * len(study.methods) + 0.95)))
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for number, ax in enumerate(axes.flat):
            if number >= len(shown):
                ax.set_visible(False)
                continue
            metric = shown[number]
            for place, method in enumerate(study.methods):
                cell = study.cells.get((method, metric))
                if cell is None:
                    continue
                colour, marker = looks[method]
                mean, low, high = (v * metric.scale for v in cell.interval)
                if not math.isnan(low):
                    ax.plot([low, high], [place, place], color=colour, lw=2, alpha=0.45, solid_capstyle="butt")
                values = [v * metric.scale for v in cell.values.values()]
                ax.plot(values, [place] * len(values), marker, color=colour, ms=4.5, alpha=0.75, mew=0)
                ax.plot([mean], [place], "|", color=INK, ms=12, mew=1.6)
            arrow = "lower is better" if metric.lower_is_better else "higher is better"
            ax.set_title(f"{metric.title}", fontsize=10, loc="left")
            ax.set_xlabel(f"{'%, ' if metric.scale != 1 else ''}{arrow}", fontsize=8.5)
            ax.set_yticks(range(len(study.methods)), study.methods)
            ax.set_ylim(len(study.methods) - 0.5, -0.5)
            ax.tick_params(axis="y", length=0)
            ax.grid(axis="x", color=INK, alpha=0.12, lw=0.6)
            ax.margins(x=0.12)
        figure.tight_layout(pad=0.6)
        return _svg(figure, "dots", "Every seed of every method, with mean and 95 % interval")


def eps_curve(study: Study) -> str | None:
    """Worst-case accuracy against eps, a line a method, thin lines for seeds; None where nothing was attacked."""
    points = sorted(
        ((float(m.eps * 255), m) for m in study.metrics if m.name.startswith("worst@") and m.eps is not None),
        key=lambda pair: pair[0],
    )
    if not points:
        return None
    clean = Metric(points[0][1].suite, "clean")
    if clean in study.metrics:
        points = [(0.0, clean), *(pair for pair in points if pair[0] > 0)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.6))
        ax = figure.subplots()
        for method, (colour, marker) in colours(study).items():
            cells = [(eps, study.cells[method, m]) for eps, m in points if (method, m) in study.cells]
            for seed in sorted({s for _, cell in cells for s in cell.values}):
                own = [(eps, 100 * cell.values[seed]) for eps, cell in cells if seed in cell.values]
                if study.most_seeds > 1:
                    ax.plot(*zip(*own, strict=True), color=colour, lw=0.7, alpha=0.35)
            means = [(eps, 100 * cell.interval.mean) for eps, cell in cells]
            if means:
                ax.plot(*zip(*means, strict=True), color=colour, marker=marker, lw=2, ms=5.5, label=method)
        ax.set_xlabel("eps in 1/255 of the pixel range (L-infinity)")
        ax.set_ylabel("right under every attack, %")
        ax.set_ylim(-2, 102)
        ax.grid(color=INK, alpha=0.12, lw=0.6)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
        figure.tight_layout(pad=0.6)
        return _svg(figure, "eps", "Worst-case accuracy against the size of the perturbation")


def training_curves(study: Study) -> str | None:
    """Training loss and validation accuracy by epoch; None where no run kept a log."""
    if not any(run.epochs for run in study.runs):
        return None
    panels = (("train_loss", "training loss", 1.0), ("val_accuracy", "validation accuracy, %", 100.0))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.1))
        for ax, (key, label, scale) in zip(figure.subplots(1, 2), panels, strict=True):
            for method, (colour, _) in colours(study).items():
                for number, run in enumerate(study.runs_of(method)):
                    own = [(line["epoch"], scale * line[key]) for line in run.epochs if key in line]
                    if own:
                        name = method if number == 0 else None
                        dots = "." if len(own) < 20 else ""
                        ax.plot(*zip(*own, strict=True), color=colour, lw=1.3, alpha=0.8, label=name, marker=dots)
            ax.set_xlabel("epoch")
            ax.set_title(label, fontsize=10, loc="left")
            ax.grid(color=INK, alpha=0.12, lw=0.6)
            ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(loc="best", fontsize=9)
        figure.tight_layout(pad=0.6)
        return _svg(figure, "train", "Training loss and validation accuracy by epoch")


def _svg(figure: Any, prefix: str, label: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # several pictures share one page: their ids must not meet
    text = re.sub(r'id="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    text = text.replace(INK, "currentColor")
    for number, colour in enumerate(PALETTE):  # the page has lighter ones for dark mode
        text = text.replace(colour.lower(), f"var(--c{number})")
    # the page scales it: width and height in points would not
    text = re.sub(
        r'<svg ([^>]*?)width="([\d.]+)pt" height="[\d.]+pt"', r'<svg \1 style="max-width:\2pt"', text, count=1
    )
    text = re.sub(r' xmlns(:xlink)?="[^"]+"', "", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)
