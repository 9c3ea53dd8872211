"""Tables as text, the same for the page and the Markdown file, and the CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...records.figures import Figure, show, signed, sized, unsigned_zero
from ...records.run import Run
from ...stats import ENOUGH_SEEDS, MOST_SEEDS, Paired, could_show
from ..values import csv_text, exact
from .tables import SIGNS, Cell, Study, sampling

#: An effect beyond it is not counted further.
LARGE = 20
COLUMNS = [
    "method", "suite", "metric", "seeds", "mean", "low95", "high95", "difference", "difference_low95",
    "difference_high95", "bootstrap_low95", "bootstrap_high95", "sign_flip_p", "smallest_p", "t_p", "effect_size",
    "effect_low95", "effect_high95", "smallest_detectable", "seeds_needed", "adjusted_p", "mcnemar_p", "outcome",
    "best", "values",
]  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One cell of the first table: mean ± half interval, below it the difference to the baseline."""

    text: str
    best: bool = False
    tied: bool = False
    difference: str = ""
    outcome: str = ""
    fragile: bool = False

    @property
    def mark(self) -> str:
        """What stands behind the difference where better or worse is claimed."""
        return f" {verdict(self.outcome, self.fragile)}" if self.outcome in ("better", "worse") else ""


@dataclass(frozen=True)
class Row:
    """One method's line."""

    method: str
    seeds: int
    fields: list[Field]
    dropped: str = ""
    seconds: str = ""


@dataclass(frozen=True)
class Difference:
    """One method against the baseline on one figure: ``effect`` is d_z, corrected for few seeds, ``least`` the smallest
    difference that so many seeds could have shown, ``said`` the verdict with its sign.
    """

    method: str
    metric: str
    seeds: int
    size: str
    interval: str
    effect: str
    least: str
    sign_flip: str
    adjusted: str
    mcnemar: str
    outcome: str
    fragile: bool
    said: str


def verdict(outcome: str, fragile: bool) -> str:
    """A verdict with its sign, and with † where the number of comparisons could explain it."""
    return f"{SIGNS[outcome]} {outcome}{' †' if fragile else ''}"


def rows(study: Study, metrics: Sequence[Figure]) -> list[Row]:
    """A row per method."""
    found = []
    for method in study.methods:
        dropped, seconds = study.info(method, "dropped_fraction"), study.info(method, "seconds_per_epoch")
        fields = [cell_field(metric, study.cells.get((method, metric))) for metric in metrics]
        share, time = "–" if dropped is None else f"{100 * dropped:.2f}", "–" if seconds is None else f"{seconds:.1f}"
        found.append(Row(method, len(study.runs_of(method)), fields, share, time))
    return found


def cell_field(metric: Figure, cell: Cell | None) -> Field:
    """A cell for people."""
    if cell is None:
        return Field("–")
    mean, low, high = cell.interval
    text = show(metric, mean) + ("" if math.isnan(low) else f" ± {show(metric, (high - low) / 2)}")
    if cell.paired is None:
        return Field(text, cell.best, cell.tied)
    difference = signed(metric, cell.paired.interval.mean)
    return Field(text, cell.best, cell.tied, difference, cell.outcome, cell.fragile)


def differences(study: Study, metrics: Sequence[Figure]) -> list[Difference]:
    """A row per method and figure, methods together."""
    every = ((method, metric, study.cells.get((method, metric))) for method in study.challengers for metric in metrics)
    return [_difference(method, metric, cell, cell.paired) for method, metric, cell in every if cell and cell.paired]


def _difference(method: str, metric: Figure, cell: Cell, paired: Paired) -> Difference:
    mean, low, high = paired.interval
    extent = "–" if math.isnan(low) else f"{signed(metric, low)} to {signed(metric, high)}"
    few, least = paired.n < ENOUGH_SEEDS, could_show(paired, metric.scale)
    return Difference(
        method, metric.title, paired.n, signed(metric, mean), extent,
        effect="–" if few else _effect(paired.effect.size),
        least="–" if math.isnan(least) else sized(metric, least),
        sign_flip="–" if few else f"{paired.p:.2g}",
        adjusted="–" if cell.adjusted is None else f"{cell.adjusted:.2g}",
        mcnemar="" if cell.mcnemar is None else f"{cell.mcnemar:.2g}",
        outcome=cell.outcome, fragile=cell.fragile, said=verdict(cell.outcome, cell.fragile),
    )  # fmt: skip


def single(run: Run, metric: Figure) -> tuple[str, str]:
    """One run's figure, and the range that other test samples would give it."""
    suite = run.suites.get(metric.suite)
    interval = sampling(run, metric)
    extent = "" if interval is None else f"{show(metric, interval.low)} to {show(metric, interval.high)}"
    return show(metric, None if suite is None else suite.metrics.get(metric.name)), extent


def table_csv(study: Study) -> str:
    """Every figure in full precision; empty where there is none."""
    return csv_text(COLUMNS, _lines(study))


def _lines(study: Study) -> Iterator[list[object]]:
    for (method, metric), cell in study.cells.items():
        compared = [""] * 13 if cell.paired is None else _compared(cell.paired)
        place = "best" if cell.best else "tied" if cell.tied else ""
        values = " ".join(f"{seed}:{float(value)!r}" for seed, value in cell.values.items())
        closing = [exact(cell.adjusted), exact(cell.mcnemar), cell.outcome, place, values]
        mean = map(exact, cell.interval)
        yield [method, metric.suite, metric.name, len(cell.values), *mean, *compared, *closing]
    for method in study.methods:
        for key in ("dropped_fraction", "seconds_per_epoch"):
            value = study.info(method, key)
            if value is not None:
                line: list[object] = [method, "training", key, len(study.runs_of(method)), exact(value)]
                yield line + [""] * (len(COLUMNS) - len(line))


def _compared(paired: Paired) -> list[str]:
    boot = paired.bootstrap or (math.nan, math.nan)
    numbers = (*paired.interval, *boot, paired.p, paired.smallest_p, paired.t_p, *paired.effect, paired.smallest)
    beyond = "" if math.isnan(paired.smallest) else f">{MOST_SEEDS}"
    return [*map(exact, numbers), beyond if paired.needed is None else str(paired.needed)]


def _effect(size: float) -> str:
    if math.isnan(size):
        return "–"
    if abs(size) >= LARGE:  # where hardly anything scatters, the digits mean nothing
        return f"beyond {math.copysign(LARGE, size):+.0f}"
    return unsigned_zero(f"{size:+.1f}")
