"""Results on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from .report.metric import Metric, show
from .report.rows import rows
from .report.tables import aggregate
from .report.verdicts import verdict_lines
from .results import Run, Suite


def print_suites(suites: Sequence[Suite]) -> None:
    """One line a figure, with what it is a figure of."""
    table = Table("suite", "figure", "value", "n")
    for suite in suites:
        for name, value in suite.metrics.items():
            table.add_row(suite.name, name, show(Metric(suite.name, name), value), f"{suite.n} {suite.split}")
    console = Console()
    console.print(table)
    for suite in suites:
        for warning in suite.warnings:
            console.print(f"{suite.name}: {warning}")


def print_comparison(runs: Sequence[Run], report: Mapping[str, Path]) -> None:
    """A row a method: means over seeds, with half the 95 % interval where there are two seeds or more."""
    study = aggregate(runs)
    # balanced accuracy is in the report: eighty columns hold no more
    metrics = [metric for metric in study.metrics if metric.headline and metric.name != "balanced_accuracy"]
    table = Table(Column("method", no_wrap=True), Column("seeds", justify="right"), box=box.SIMPLE)
    for metric in metrics:
        title = metric.title.replace("Worst case", "worst").replace("Calibration error", "ECE")
        table.add_column(title.lower() if metric.eps is None else title, justify="right", no_wrap=True)
    table.add_column("dropped %", justify="right")
    table.add_column("s/epoch", justify="right")
    for row in rows(study, metrics):
        cells = (field.text.replace(" ± ", "±") for field in row.fields)
        table.add_row(escape(row.method), str(row.seeds), *cells, row.dropped, row.seconds)
    # a pipe or a file has room: only a terminal knows a width
    console = Console() if sys.stdout.isatty() else Console(width=140)
    console.print(table)
    for line in verdict_lines(study):
        console.print(line, markup=False, highlight=False)
    for path in report.values():
        console.print(str(path), soft_wrap=True, highlight=False, markup=False)
