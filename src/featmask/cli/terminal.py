"""Results on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..records.doctor import DoctorRecord
from ..records.figures import Figure, show
from ..records.names import corruption_name
from ..records.run import Run
from ..records.suite import Suite
from ..records.titles import attack_title
from ..report.study.retrieval import is_retrieval, notices, rules, size_text, suite_place
from ..report.study.rows import rows
from ..report.study.tables import Study, aggregate
from ..report.study.verdicts import metric_lines, verdict_lines
from ..stats import ENOUGH_SEEDS

if TYPE_CHECKING:
    from ..study.planning import Planning

#: A row of a ranking's table: suite, attack, size.
_Row = tuple[str, str, str]
#: Of a check's verdict: a sign and the word.
SIGNS = {"ok": "✔ ok", "suspicious": "▲ suspicious", "failed": "✘ failed", "skipped": "– skipped"}
#: From so many columns on, a table's columns stand two apart.
ROOMY = 100


def print_suites(suites: Sequence[Suite]) -> None:
    """One line per figure, of rankings one per suite and attack, with what was measured and how it was scored."""
    console = _console()
    ranked = sorted((suite for suite in suites if is_retrieval(suite)), key=lambda suite: suite_place(suite.name))
    corrupted = [suite for suite in suites if "corrupted" in suite.metrics]
    others = [suite for suite in suites if suite not in ranked]
    if others or not ranked:
        table = Table("suite", "figure", "value", "n")
        for suite in others:
            for name, value in suite.metrics.items():
                if suite in corrupted and name not in ("clean", "corrupted"):
                    continue  # of these there is a table of their own
                cells = (suite.name, name, show(Figure(suite.name, name), value), f"{suite.n} {suite.split}")
                table.add_row(*map(escape, cells))
        console.print(table)
    for suite in corrupted:
        console.print(_corruptions(suite))
    if ranked:
        console.print(_rankings(ranked))
        for suite in ranked:
            _say(console, f"{suite.name}: {size_text(suite)}")
    for suite in others:
        for warning in suite.warnings:
            _say(console, f"{suite.name}: {warning}")
    _footing(console, suites)


def _corruptions(suite: Suite) -> Table:
    """A row per corruption, a column per severity."""
    kinds, severities = suite.settings["kinds"], suite.settings["severities"]
    table = Table(f"{suite.name} (%)", *map(str, severities), "mean", box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    for kind in kinds:
        names = [*(corruption_name(kind, severity) for severity in severities), kind]
        values = (show(Figure(suite.name, name), suite.metrics[name]) for name in names)
        table.add_row(escape(kind.replace("_", " ")), *values)
    return table


def print_diagnosis(diagnosis: DoctorRecord) -> None:
    """A line per check, the advice where one is not ok, and the verdict."""
    console = _console()
    table = Table("", "check", "figure", box=box.SIMPLE)
    for check in diagnosis.checks:
        table.add_row(SIGNS.get(check.verdict, "?"), escape(check.title), escape(check.figure))
    console.print(table)
    for check in diagnosis.checks:
        if check.verdict in ("suspicious", "failed"):
            _say(console, f"{check.verdict}: {check.title}: {check.why}")
    trust = "can be trusted as far as these checks go" if diagnosis.trusted else "can NOT be trusted"
    _say(console, f"{diagnosis.verdict}: a figure of this model's robustness {trust}.")


def _rankings(suites: Sequence[Suite]) -> Table:
    """A row per suite and attack, a column per figure."""
    found: dict[_Row, dict[str, str]] = {}
    heads: dict[str, None] = {}
    for suite in suites:
        for name, value in suite.metrics.items():
            metric = Figure(suite.name, name)
            attack = attack_title(metric.kind) if metric.attacked else ""
            heads[metric.measure_title] = None
            found.setdefault((suite.name, attack, metric.budget), {})[metric.measure_title] = show(metric, value)
    table = Table("suite", "attack", "eps", box=box.SIMPLE)
    for head in heads:
        table.add_column(escape(head), justify="right", no_wrap=True)
    for row, values in found.items():
        table.add_row(*map(escape, row), *(values.get(head, "–") for head in heads))
    return table


def print_comparison(runs: Sequence[Run], report: Mapping[str, Path]) -> None:
    """A row per method: means over seeds, with half the 95 % interval where there are two seeds or more."""
    study = aggregate(runs)
    metrics = _columns(study)
    console = _console()
    # eighty columns hold five figures with their intervals only where nothing is wasted
    table = Table(box=box.SIMPLE, padding=(0, int(console.width >= ROOMY), 0, 0), pad_edge=False)
    table.add_column("method", no_wrap=True)
    table.add_column("seeds", justify="right")
    for metric in metrics:
        table.add_column(escape(_head(metric)), justify="right", no_wrap=True)
    table.add_column("dropped %", justify="right")
    table.add_column("s/epoch", justify="right")
    for row in rows(study, metrics):
        cells = (field.text.replace(" ± ", "±") for field in row.fields)
        table.add_row(escape(row.method), str(row.seeds), *cells, row.dropped, row.seconds)
    console.print(table)
    # with fewer seeds each sentence would say once more that nothing can be claimed
    more = [line.sentence for line in metric_lines(study)] if study.most_seeds >= ENOUGH_SEEDS else []
    for line in [*verdict_lines(study), *more]:
        _say(console, line)
    _footing(console, [suite for run in runs for suite in run.suites.values()])
    for path in report.values():
        console.print(str(path), soft_wrap=True, highlight=False, markup=False)


def print_plan(plan: Planning, workers: int) -> None:
    """A row per method: what of its seeds is finished, goes on or is new, and how long the rest should take."""
    console = _console()
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for head in ("trials", "finished", "to go on", "new", "expected"):
        table.add_column(head, justify="right", no_wrap=True)
    for method in dict.fromkeys(run.method for run, _ in plan.runs):
        own = {str(run): state for run, state in plan.runs if run.method == method}
        states = [sum(found == state for found in own.values()) for state in ("finished", "to go on", "new")]
        seconds = sum(plan.seconds.get(name, 0.0) for name in (f"tune {method}", *own))
        table.add_row(escape(method), str(plan.trials.get(method, 0)), *map(str, states), duration(seconds))
    console.print(table)
    _say(console, f"All that is left: about {duration(plan.total)} on one worker.")
    if workers > 1:
        _say(console, f"{workers} workers share this machine's threads: less than that, but more than a {workers}th.")
    for source in plan.sources:
        _say(console, f"Expected {source}.")
    console.print(str(plan.folder), soft_wrap=True, highlight=False, markup=False)


def duration(seconds: float) -> str:
    """As people say it: two units at most."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _columns(study: Study) -> list[Figure]:
    """What eighty columns hold: balanced accuracy and other data sets are in the report."""
    shown = [m for m in study.headline if m.name != "balanced_accuracy" and not m.domain]
    worst = [metric for metric in shown if metric.attacked]
    return [metric for metric in shown if metric not in worst[1:]]


def _head(metric: Figure) -> str:
    """A short title; of rankings on two lines, as their figures are written."""
    if not metric.retrieval:
        title = metric.title.replace("Worst case", "worst").replace("Calibration error", "ECE")
        return title.lower() if metric.eps is None else title
    if metric.attacked:
        side = "" if metric.side == "query" else f" {metric.side}"
        return f"worst{side} {metric.measure_title}\n{metric.budget}"
    return f"re-ranked\n{metric.measure_title}" if metric.suite == "reranked" else metric.short


def _footing(console: Console, suites: Sequence[Suite]) -> None:
    """How rankings were scored, and what must be said beside figures."""
    for line in rules(suites):
        _say(console, f"Scored: {line}")
    for line in notices(suites):
        _say(console, line)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)


def _console() -> Console:
    # a pipe or a file has room: only a terminal knows a width
    return Console() if sys.stdout.isatty() else Console(width=140)
