"""What the runs say, method by method and figure by figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..errors import FeatmaskError
from ..results import Run
from ..stats import LOWER_IS_BETTER, Interval, Paired, Verdict, mcnemar, mean_interval, paired_difference, verdict

#: Figures that are no shares; all others are shown in percent.
PLAIN = frozenset({"nll"})
TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "ece": "Calibration error",
    "nll": "Negative log-likelihood",
}


@dataclass(frozen=True)
class Metric:
    """One figure of one suite.

    Attributes:
        suite: its suite.
        name: its name there.
    """

    suite: str
    name: str

    @property
    def title(self) -> str:
        """For people."""
        kind, at, eps = self.name.partition("@")
        if at:
            return f"{ {'worst': 'Worst case', 'fgsm': 'FGSM', 'pgd': 'PGD'}.get(kind, kind) } {eps}"
        return "Attacked subset, clean" if self.suite != "clean" and kind == "clean" else TITLES.get(kind, kind)

    @property
    def lower_is_better(self) -> bool:
        """Errors and losses."""
        return self.name in LOWER_IS_BETTER

    @property
    def scale(self) -> float:
        """100 for what is shown in percent."""
        return 1.0 if self.name in PLAIN else 100.0

    @property
    def headline(self) -> bool:
        """Whether it stands in the first table: accuracies, calibration, and the worst case of attacks."""
        return self.name in ("accuracy", "balanced_accuracy", "ece") or self.name.startswith("worst@")

    @property
    def eps(self) -> Fraction | None:
        """An attack's budget in pixels."""
        _, at, eps = self.name.partition("@")
        try:
            return Fraction(eps) if at else None
        except ValueError:  # 0.5/255
            top, _, bottom = eps.partition("/")
            return Fraction(top) / Fraction(bottom or "1")


@dataclass(frozen=True)
class Cell:
    """One figure of one method over its seeds; ``paired`` and ``verdict`` against the baseline on common seeds."""

    values: dict[int, float]
    interval: Interval
    paired: Paired | None
    verdict: Verdict | None
    mcnemar: float | None
    best: bool = False


@dataclass(frozen=True)
class Study:
    """All figures, ready to be laid out."""

    baseline: str
    methods: list[str]
    metrics: list[Metric]
    cells: dict[tuple[str, Metric], Cell]
    runs: list[Run]

    def runs_of(self, method: str) -> list[Run]:
        """A method's runs, seeds ascending."""
        return [run for run in self.runs if run.method == method]

    def info(self, method: str, key: str) -> float | None:
        """Mean over seeds of a number in ``run.json``; None where there is none."""
        values = [run.info[key] for run in self.runs_of(method) if isinstance(run.info.get(key), (int, float))]
        return sum(values) / len(values) if values else None

    @property
    def most_seeds(self) -> int:
        """Seeds of the method that has most of them."""
        return max(len(self.runs_of(method)) for method in self.methods)


def aggregate(runs: Sequence[Run], baseline: str | None = None) -> Study:
    """Collect figures; the baseline is the first method unless named.

    Raises:
        FeatmaskError: no runs, or a baseline that is none of the methods.
    """
    if not runs:
        raise FeatmaskError("there are no finished runs to report on")
    methods = list(dict.fromkeys(run.method for run in runs))
    baseline = baseline or methods[0]
    if baseline not in methods:
        raise FeatmaskError(f"the baseline {baseline!r} is none of the methods: {', '.join(methods)}")
    named = {Metric(suite.name, name): None for run in runs for suite in run.suites.values() for name in suite.metrics}
    study = Study(baseline, methods, list(named), {}, sorted(runs, key=lambda r: (methods.index(r.method), r.seed)))
    for metric in study.metrics:
        cells = {method: _cell(study, method, metric) for method in methods}
        present = {method: cell for method, cell in cells.items() if cell is not None}
        means = [cell.interval.mean for cell in present.values()]
        top = (min if metric.lower_is_better else max)(means)
        for method, cell in present.items():
            is_best = len(present) > 1 and cell.interval.mean == top
            study.cells[method, metric] = Cell(
                cell.values, cell.interval, cell.paired, cell.verdict, cell.mcnemar, is_best
            )
    return study


def _values(study: Study, method: str, metric: Metric) -> dict[int, float]:
    return {
        run.seed: run.suites[metric.suite].metrics[metric.name]
        for run in study.runs_of(method)
        if metric.suite in run.suites and metric.name in run.suites[metric.suite].metrics
    }


def _cell(study: Study, method: str, metric: Metric) -> Cell | None:
    values = _values(study, method, metric)
    if not values:
        return None
    interval = mean_interval(list(values.values()))
    base = _values(study, study.baseline, metric)
    common = [seed for seed in values if seed in base]
    if method == study.baseline or not common:
        return Cell(values, interval, None, None, None)
    paired = paired_difference([values[s] for s in common], [base[s] for s in common])
    said = verdict(metric.title.lower(), method, study.baseline, paired, metric.scale, metric.lower_is_better)
    return Cell(values, interval, paired, said, _mcnemar(study, method, metric) if len(common) == 1 else None)


def _mcnemar(study: Study, method: str, metric: Metric) -> float | None:
    """For a single pair of models: do they err on different samples equally often?"""
    column = {"accuracy": "correct"}.get(metric.name, metric.name)
    pair = [study.runs_of(name)[0].samples.get(metric.suite, {}) for name in (method, study.baseline)]
    if any(column not in samples for samples in pair) or list(pair[0]["index"]) != list(pair[1]["index"]):
        return None
    return mcnemar(pair[0][column], pair[1][column])


def show(metric: Metric, value: float | None) -> str:
    """A figure for people: percent with one decimal, losses with three."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.3f}" if metric.scale == 1 else f"{100 * value:.1f}"


def half_width(interval: Interval) -> float | None:
    """Half the interval's width; None for one seed."""
    return None if math.isnan(interval.low) else (interval.high - interval.low) / 2
