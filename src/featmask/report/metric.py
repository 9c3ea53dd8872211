"""One figure: its name for people, its unit, its place in a report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from ..stats import LOWER_IS_BETTER, Interval

#: Figures that are no shares; all others are shown in percent.
PLAIN = frozenset({"nll"})
TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "ece": "Calibration error",
    "nll": "Negative log-likelihood",
}
ATTACKS = {"worst": "Worst case", "fgsm": "FGSM", "pgd": "PGD"}


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
    def kind(self) -> str:
        """What stands before the ``@``: the attack's name, or the figure's."""
        return self.name.partition("@")[0]

    @property
    def title(self) -> str:
        """For people, where an attack's budget belongs to the name."""
        return f"{self.short} {self.budget}" if self.budget else self.short

    @property
    def short(self) -> str:
        """For people, where the budget stands elsewhere."""
        if self.budget:
            return ATTACKS.get(self.kind, self.kind)
        unattacked = self.name == "clean" and self.suite != "clean"
        return "Attacked subset, clean" if unattacked else TITLES.get(self.name, self.name)

    @property
    def budget(self) -> str:
        """An attack's eps as it was written: ``2/255``; empty for other figures."""
        return self.name.partition("@")[2]

    @property
    def words(self) -> str:
        """Within a sentence."""
        if self.budget:
            kind = {"worst": "worst-case"}.get(self.kind, ATTACKS.get(self.kind, self.kind))
            return f"{kind} accuracy at {self.budget}"
        if self.name == "accuracy" and self.suite == "clean":
            return "clean accuracy"
        return TITLES[self.name].lower() if self.name in TITLES else self.name

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
        """An attack's budget as a share of the pixel range; None where there is none that can be read."""
        top, _, bottom = self.budget.partition("/")
        try:
            return Fraction(top) / Fraction(bottom or "1")  # 0.5/255 is no literal of Fraction
        except (ValueError, ZeroDivisionError):
            return None


def show(metric: Metric, value: float | None) -> str:
    """A figure for people: percent with one decimal, losses with three."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.3f}" if metric.scale == 1 else f"{100 * value:.1f}"


def signed(metric: Metric, value: float) -> str:
    """A difference for people, in points; a zero has no sign."""
    text = f"{value * metric.scale:+.{3 if metric.scale == 1 else 1}f}"
    return text if float(text) else text[1:]


def half_width(interval: Interval) -> float | None:
    """Half the interval's width; None for one seed."""
    return None if math.isnan(interval.low) else (interval.high - interval.low) / 2
