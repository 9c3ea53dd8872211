"""What the runs say, method by method and figure by figure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...errors import FeatmaskError
from ...records.figures import Figure
from ...records.names import column_of
from ...records.run import Run
from ...stats import ENOUGH_SEEDS, Interval, Outcome, Paired, mean_interval, outcome_of, paired_difference
from ...stats.pvalues import benjamini_hochberg, mcnemar
from ..values import counted_range, finite
from .choice import first_table

#: Where no figure is a known headline, the first table shows so many.
FEW = 6
#: A sign beside the words: colour alone tells nobody anything.
SIGNS = {"better": "▲", "worse": "▼", "no difference shown": "○", "not enough seeds": "·"}


@dataclass(frozen=True)
class Cell:
    """One figure of one method over its seeds.

    Attributes:
        values, interval: seed -> figure, without what is not finite; their mean and its interval.
        paired: difference to the baseline over common seeds.
        outcome: what that difference allows to say, taken alone; empty where there is none.
        mcnemar: exact p for the one pair of models, where there is one common seed and samples of it.
        best: no other method's mean is better.
        tied: not the best mean, but by the verdicts' own rule, taken alone, it cannot be told from it. Among k equal
            methods over 5 seeds one or more are told from the best by chance alone in 5 % of the figures at k = 2, in
            26 % at 5, in 39 % at 7 (20,000 simulations each).
        adjusted: p of the paired t test, adjusted over all such differences of the same table.
    """

    values: dict[int, float]
    interval: Interval
    paired: Paired | None = None
    outcome: Outcome | Literal[""] = ""
    mcnemar: float | None = None
    best: bool = False
    tied: bool = False
    adjusted: float | None = None

    @property
    def claimed(self) -> bool:
        """Whether the verdict is a claim: better or worse."""
        return self.outcome in ("better", "worse")

    @property
    def fragile(self) -> bool:
        """A claim that the number of comparisons could explain."""
        return self.claimed and self.adjusted is not None and self.adjusted > 0.05

    @property
    def sign(self) -> str:
        """Of the verdict, with † where it is fragile; empty where there is none."""
        return SIGNS.get(self.outcome, "") + "†" * self.fragile


@dataclass(frozen=True)
class Study:
    """All figures, ready to be laid out."""

    baseline: str
    methods: list[str]
    metrics: list[Figure]
    cells: dict[tuple[str, Figure], Cell]
    runs: list[Run]

    def runs_of(self, method: str) -> list[Run]:
        """A method's runs, seeds ascending."""
        return [run for run in self.runs if run.method == method]

    def info(self, method: str, key: str) -> float | None:
        """Mean over seeds of a number in ``run.json``; None where there is none."""
        values = list(filter(finite, (getattr(run.info, key) for run in self.runs_of(method))))
        return sum(values) / len(values) if values else None

    @property
    def title(self) -> str:
        """The recipe's name."""
        return self.runs[0].recipe.name or "comparison"

    @property
    def challengers(self) -> list[str]:
        """Every method but the baseline."""
        return [method for method in self.methods if method != self.baseline]

    @property
    def headline(self) -> list[Figure]:
        """The first table's figures; the first few where none is known."""
        return first_table(self.metrics) or self.metrics[:FEW]

    @property
    def compared(self) -> int:
        """Differences of the first table that were tested: those over enough seeds."""
        headline = self.headline
        return sum(self.cells[key].adjusted is not None for key in self.cells if key[1] in headline)

    @property
    def pairs(self) -> int:
        """Seeds that most methods share with the baseline; 0 where nothing is compared."""
        return max((cell.paired.n for cell in self.cells.values() if cell.paired), default=0)

    @property
    def most_seeds(self) -> int:
        """Seeds of the method that has most of them."""
        return max(len(self.runs_of(method)) for method in self.methods)


def aggregate(runs: Sequence[Run], baseline: str | None = None) -> Study:
    """Collect figures; the baseline is the first method unless named.

    Raises:
        FeatmaskError: no runs, two runs of one method and seed, or a baseline that is none of the methods.
    """
    if not runs:
        raise FeatmaskError("there are no finished runs to report on")
    (method, seed), times = Counter((run.method, run.seed) for run in runs).most_common(1)[0]
    if times > 1:
        folders = ", ".join(str(run.folder) for run in runs if (run.method, run.seed) == (method, seed))
        raise FeatmaskError(f"expected one run per method and seed, got {times} of {method}, seed {seed}: {folders}")
    methods = list(dict.fromkeys(run.method for run in runs))
    baseline = methods[0] if baseline is None else baseline
    if baseline not in methods:
        raise FeatmaskError(f"the baseline {baseline!r} is none of the methods: {', '.join(methods)}")
    named = {Figure(suite.name, name): None for run in runs for suite in run.suites.values() for name in suite.metrics}
    study = Study(baseline, methods, list(named), {}, sorted(runs, key=lambda r: (methods.index(r.method), r.seed)))
    for metric in study.metrics:
        cells = {method: _cell(study, method, metric) for method in methods}
        present = {method: cell for method, cell in cells.items() if cell is not None}
        if not present:
            continue
        top = (min if metric.lower_is_better else max)(present.values(), key=lambda cell: cell.interval.mean)
        for method, cell in present.items():
            best = len(present) > 1 and cell.interval.mean == top.interval.mean
            study.cells[method, metric] = replace(cell, best=best, tied=not best and _tied(metric, cell, top))
    _adjust(study)
    return study


def _adjust(study: Study) -> None:
    """Two families: the differences of the first table, and those of the remaining figures."""
    headline = study.headline
    for first in (True, False):
        tested = {
            key: cell.paired.t_p
            for key, cell in study.cells.items()
            if cell.paired is not None and cell.paired.n >= ENOUGH_SEEDS and (key[1] in headline) == first
        }
        for key, p in zip(tested, benjamini_hochberg(list(tested.values())), strict=True):
            study.cells[key] = replace(study.cells[key], adjusted=p)


def _values(study: Study, method: str, metric: Figure) -> dict[int, float]:
    found = {
        run.seed: run.suites[metric.suite].metrics.get(metric.name, math.nan)
        for run in study.runs_of(method)
        if metric.suite in run.suites
    }
    return {seed: value for seed, value in found.items() if math.isfinite(value)}


def _cell(study: Study, method: str, metric: Figure) -> Cell | None:
    values = _values(study, method, metric)
    if not values:
        return None
    interval = mean_interval(list(values.values()))
    base = _values(study, study.baseline, metric)
    common = [seed for seed in values if seed in base]
    if method == study.baseline or not common:
        return Cell(values, interval)
    paired = paired_difference([values[s] for s in common], [base[s] for s in common])
    said = outcome_of(paired.interval, paired.n, metric.scale, metric.lower_is_better)
    alone = _mcnemar(study, method, metric, common[0]) if len(common) == 1 else None
    return Cell(values, interval, paired, said, alone)


def _tied(metric: Figure, cell: Cell, top: Cell) -> bool:
    common = [seed for seed in cell.values if seed in top.values]
    if cell is top or not common:
        return cell is not top
    interval = mean_interval([cell.values[seed] - top.values[seed] for seed in common])
    return outcome_of(interval, len(common), metric.scale, metric.lower_is_better) != "worse"


def _mcnemar(study: Study, method: str, metric: Figure, seed: int) -> float | None:
    """For one pair of models: do they err on different samples equally often? None for what is no right or wrong."""
    if not metric.counted:
        return None
    column = column_of(metric.name)
    runs = [run for name in (method, study.baseline) for run in study.runs_of(name) if run.seed == seed]
    pair = [run.samples.get(metric.suite, {}) for run in runs]
    if any(column not in samples for samples in pair) or list(pair[0]["index"]) != list(pair[1]["index"]):
        return None
    if not all(np.isin(samples[column], (0, 1)).all() for samples in pair):
        return None
    return mcnemar(pair[0][column], pair[1][column])


def sampling(run: Run, metric: Figure) -> Interval | None:
    """The range that other test samples would give this one model (Wilson); None for what is no counted share."""
    suite = run.suites.get(metric.suite)
    value = math.nan if suite is None else suite.metrics.get(metric.name, math.nan)
    return None if suite is None else counted_range(metric, value, suite.n)
