"""Small pictures beside figures: how far confidence can be believed, and the curves of the doctor's checks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ...drawing.svg import INK, PALETTE, PANEL, drawn, plain
from ...stats.calibration import BINS, Bin
from .checks import Shown
from .figures import reliability
from .read import Subject

#: An axis that spans so much is a logarithmic one.
_WIDE = 20.0
_NAMES = 14


def reliability_panels(subjects: Sequence[Subject]) -> list[str]:
    """A diagram per model whose confidence was kept."""
    found = []
    for number, subject in enumerate(subjects):
        bins = reliability(subject)
        if bins:
            name = subject.name if len(subjects) > 1 else ""
            found.append(drawn(partial(_reliability, bins, name), f"reliability-{number}"))
    return found


def check_panel(check: Shown, prefix: str) -> str:
    """The curve of a check; empty where it has none."""
    return "" if check.curve is None else drawn(partial(_check, check), prefix)


def _reliability(bins: list[Bin], name: str, make: Any) -> tuple[Any, str]:
    """Accuracy against confidence; below it how many samples each bin holds."""
    figure = make(figsize=(PANEL, 3.9))
    upper, lower = figure.subplots(2, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
    upper.plot([0, 1], [0, 100], color=INK, lw=1, ls=(0, (4, 3)), alpha=0.6)
    for one in bins:
        # the gap to the diagonal, bin by bin, is what the calibration error weighs
        upper.plot([one.confidence] * 2, [100 * one.confidence, 100 * one.accuracy], color=PALETTE[1], lw=3, alpha=0.4)
    sure, right = [one.confidence for one in bins], [100 * one.accuracy for one in bins]
    upper.plot(sure, right, color=PALETTE[0], marker="o", ms=5, lw=1.3)
    upper.set_ylim(-3, 103)
    upper.set_title(f"Right, %{', ' + plain(name) if name else ''}", fontsize=10.5, loc="left", fontweight="bold")
    lower.bar([one.low for one in bins], [one.n for one in bins], 0.92 / BINS, align="edge", color=PALETTE[6], lw=0)
    lower.set_title("Samples in each bin", fontsize=9, loc="left")
    lower.set_xlabel("confidence (largest probability)", fontsize=9)
    lower.set_xlim(-0.02, 1.02)
    for ax in (upper, lower):
        ax.grid(color=INK, alpha=0.12, lw=0.6)
    said = f"Reliability diagram {name}: accuracy against confidence in {BINS} bins; the figures are in the table"
    return figure, said


def _check(check: Shown, make: Any) -> tuple[Any, str]:
    assert check.curve is not None
    x, y, x_label, y_label = check.curve
    figure = make(figsize=(0.8 * PANEL, 2.1))
    ax = figure.subplots()
    if isinstance(x[0], str):
        ax.plot(range(len(y)), y, "o", color=PALETTE[0], ms=5, mew=0)
        ax.set_xticks(range(len(x)), [plain(name, _NAMES) for name in x], rotation=0 if len(x) < 5 else 60)
        ax.margins(x=0.12)
    else:
        ax.plot(x, y, color=PALETTE[0], marker="o", ms=4.5, mew=0, lw=1.5, markevery=max(1, len(x) // 12))
        if min(x) > 0 and max(x) / min(x) >= _WIDE:
            ax.set_xscale("log")
            shown = x if len(x) <= 7 else x[:: -(-len(x) // 6)]
            ax.set_xticks(shown, [f"{value:g}" for value in shown])
            ax.set_xticks([], minor=True)
        else:
            ax.locator_params(axis="x", nbins=5)
    if min(y) >= 0 and max(y) <= 1:
        ax.set_ylim(-0.04, 1.04)
    ax.set_xlabel(plain(x_label, 44), fontsize=9)
    ax.set_title(plain(y_label, 44), fontsize=9.5, loc="left")
    ax.grid(color=INK, alpha=0.12, lw=0.6)
    return figure, f"{check.title}: {y_label or 'value'} against {x_label or 'setting'}"
