"""Results on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .results import Run, Suite
from .stats import mean_interval

#: Metrics that are counts of right answers are shown in percent, the others as they are.
NOT_PERCENT = ("nll",)


def print_suites(suites: Sequence[Suite]) -> None:
    """One line a figure, with what it is a figure of."""
    table = Table("suite", "figure", "value", "n")
    for suite in suites:
        for name, value in suite.metrics.items():
            table.add_row(suite.name, name, _show(name, value), f"{suite.n} {suite.split}")
    console = Console()
    console.print(table)
    for suite in suites:
        for warning in suite.warnings:
            console.print(f"{suite.name}: {warning}")


def print_comparison(runs: Sequence[Run], report: Mapping[str, Path]) -> None:
    """A row a method: mean over seeds, with a 95 % interval where there are two seeds or more."""
    methods = list(dict.fromkeys(run.method for run in runs))
    columns = _columns(runs[0])
    table = Table("method", "seeds", *(name for _, name in columns), "dropped", "s / epoch")
    for method in methods:
        own = [run for run in runs if run.method == method]
        cells = []
        for suite, name in columns:
            values = [run.suites[suite].metrics[name] for run in own if name in run.suites[suite].metrics]
            interval = mean_interval(values)
            shown = _show(name, interval.mean)
            wide = len(values) > 1
            cells.append(f"{shown} ± {_show(name, (interval.high - interval.low) / 2)}" if wide else shown)
        seconds = sum(run.info.get("seconds_per_epoch", 0.0) for run in own) / len(own)
        dropped = own[0].info.get("dropped_fraction") or 0.0
        table.add_row(method, str(len(own)), *cells, f"{100 * dropped:.2f} %", f"{seconds:.1f}")
    console = Console()
    console.print(table)
    for path in report.values():
        console.print(str(path), soft_wrap=True, highlight=False)


def _columns(run: Run) -> list[tuple[str, str]]:
    """Accuracies, and of the attacks the worst case: the rest is in the report."""
    shown = []
    for suite in run.suites.values():
        for name in suite.metrics:
            if suite.name == "clean" or name.startswith("worst"):
                shown.append((suite.name, name))
    return shown


def _show(name: str, value: float) -> str:
    return f"{value:.3f}" if name in NOT_PERCENT else f"{100 * value:.1f}"
