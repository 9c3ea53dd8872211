"""One figure: its name for people, its unit, its place in a report."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
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
#: In the order in which they are shown.
ATTACKS = {
    "clean": "Not attacked",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "ifgsm": "I-FGSM",
    "mifgsm": "MI-FGSM",
    "sma": "SMA",
    "fna": "FNA",
    "odfa": "ODFA",
    "lta": "LTA",
    "misranking": "Mis-Ranking",
    "worst": "Worst case",
}
#: The usual budget of attacks on retrieval: where it was measured, the first table shows it.
USUAL = Fraction(5, 255)
#: The retrieval figures that lead, in their order.
LEADING = ("rank1", "mAP", "mINP")
#: Before the name of another data set: the model was scored there.
_CROSS = "cross_"
_RETRIEVAL = re.compile(r"rank(\d{1,4})|mAP|mINP", re.ASCII)


def other_domain(suite: str) -> str:
    """The data set that a cross-domain suite was scored on; empty for other suites."""
    return suite.removeprefix(_CROSS) if suite.startswith(_CROSS) else ""


def attack_title(kind: str) -> str:
    """An attack's name for people: ``FNA``, ``FNA (L2)``; what is not known keeps its own."""
    name, _, norm = kind.partition("-")
    return ATTACKS.get(name, name) + (f" ({norm.upper()})" if norm and name in ATTACKS else kind[len(name) :])


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
    def figure(self) -> str:
        """What is counted, whatever was done to the images: ``accuracy``, ``mAP``, ``rank1``."""
        head = self.name.partition("@")[0]
        last = head.rpartition(".")[2]
        if _RETRIEVAL.fullmatch(last):
            return last
        return "accuracy" if self.budget else head

    @property
    def kind(self) -> str:
        """The attack's name (``clean`` for the same images, not attacked), or the figure's where there is none."""
        head = self.name.partition("@")[0]
        return head.removesuffix(f".{self.figure}") if self.retrieval else head

    @property
    def retrieval(self) -> bool:
        """Whether it is a figure of a ranking."""
        return _RETRIEVAL.fullmatch(self.figure) is not None

    @property
    def attacked(self) -> bool:
        """Whether it belongs to an attack or its unattacked control, as a figure of a ranking."""
        return self.retrieval and self.kind != self.figure

    @property
    def side(self) -> str:
        """What an attack on retrieval changed: ``query``, ``gallery``; empty for other suites."""
        return self.suite.removeprefix("attack_") if self.suite.startswith("attack_") else ""

    @property
    def title(self) -> str:
        """For people, where an attack's budget belongs to the name."""
        return f"{self.short} {self.budget}" if self.budget else self.short

    @property
    def short(self) -> str:
        """For people, where the budget stands elsewhere."""
        if self.retrieval:
            return self._ranking_title()
        if self.budget:
            return attack_title(self.kind)
        unattacked = self.name == "clean" and self.suite != "clean"
        return "Attacked subset, clean" if unattacked else TITLES.get(self.name, self.name)

    @property
    def figure_title(self) -> str:
        """The figure alone: ``Rank-1``, ``mAP``, ``Accuracy``."""
        if self.retrieval:
            return self.figure.replace("rank", "Rank-")
        return TITLES.get(self.figure, self.figure)

    def _ranking_title(self) -> str:
        figure = self.figure_title
        if self.attacked:
            text = {"worst": "Worst-case", "clean": "Attacked subset, clean"}.get(self.kind, attack_title(self.kind))
            return f"{text} {figure}" + ("" if self.side in ("query", "") else f" ({self.side})")
        if other_domain(self.suite):
            return f"Cross-domain {figure} ({other_domain(self.suite)})"
        where = {"clean": figure, "reranked": f"Re-ranked {figure}"}
        return where.get(self.suite, f"{figure} ({self.suite})")

    @property
    def budget(self) -> str:
        """An attack's eps as it was written: ``2/255``; empty for other figures."""
        return self.name.partition("@")[2]

    @property
    def words(self) -> str:
        """Within a sentence."""
        if self.retrieval:
            return self._ranking_words()
        if self.budget:
            kind = {"worst": "worst-case"}.get(self.kind, attack_title(self.kind))
            return f"{kind} accuracy at {self.budget}"
        if self.name == "accuracy" and self.suite == "clean":
            return "clean accuracy"
        return TITLES[self.name].lower() if self.name in TITLES else self.name

    def _ranking_words(self) -> str:
        figure = self.figure_title
        if self.attacked:
            at = f" at {self.budget}" if self.budget else ""
            side = "" if self.side in ("query", "") else f" ({self.side} attacked)"
            if self.kind == "clean":
                return f"clean {figure} of the attacked subset{side}"
            kind = {"worst": "worst-case"}.get(self.kind, attack_title(self.kind))
            return f"{kind} {figure}{at}{side}"
        if other_domain(self.suite):
            return f"cross-domain {figure} on {other_domain(self.suite)}"
        where = {"clean": figure, "reranked": f"re-ranked {figure}"}
        return where.get(self.suite, f"{figure} of {self.suite}")

    @property
    def lower_is_better(self) -> bool:
        """Errors and losses."""
        return self.name in LOWER_IS_BETTER

    @property
    def scale(self) -> float:
        """100 for what is shown in percent."""
        return 1.0 if self.name in PLAIN else 100.0

    @property
    def counted(self) -> bool:
        """Whether it is a share of samples that are right: only such a share has Wilson's interval, McNemar's test."""
        if self.retrieval:
            return self.figure == "rank1"
        return self.name in ("accuracy", "clean") or self.eps is not None

    @property
    def headline(self) -> bool:
        """Whether it may stand in the first table; ``first_table`` chooses among budgets."""
        if not self.retrieval:
            return self.name in ("accuracy", "balanced_accuracy", "ece") or self.name.startswith("worst@")
        if self.attacked:
            return self.kind == "worst" and self.figure == "mAP" and self.eps is not None
        if self.suite == "clean":
            return self.figure in LEADING
        return self.figure == "mAP" and (self.suite == "reranked" or bool(other_domain(self.suite)))

    @property
    def eps(self) -> Fraction | None:
        """An attack's budget as a share of the pixel range; None where there is none that can be read."""
        top, _, bottom = self.budget.partition("/")
        try:
            return Fraction(top) / Fraction(bottom or "1")  # 0.5/255 is no literal of Fraction
        except (ValueError, ZeroDivisionError):
            return None


def first_table(metrics: Sequence[Metric]) -> list[Metric]:
    """The figures that lead a report, in their order; of attacks on retrieval, those at the main budget."""
    found = [metric for metric in metrics if metric.headline]
    main = {metric.suite: main_budget(found, metric.suite) for metric in found if metric.attacked}
    return sorted((m for m in found if not m.attacked or m.eps == main[m.suite]), key=_place)


def main_budget(metrics: Sequence[Metric], suite: str) -> Fraction | None:
    """The eps that stands for an attack suite: the middle of its range; of attacks on retrieval 5/255 if measured."""
    own = [metric for metric in metrics if metric.suite == suite and metric.eps is not None]
    budgets = sorted({metric.eps for metric in own if metric.eps is not None})
    if USUAL in budgets and any(metric.attacked for metric in own):
        return USUAL
    # the smallest budgets leave all standing, the largest nothing
    return budgets[len(budgets) // 2] if budgets else None


def _place(metric: Metric) -> int:
    """Classification as it was measured; of re-identification clean, re-ranked, attacked, other data sets."""
    if not metric.retrieval:
        return 0
    if metric.suite == "clean":
        return 1 + LEADING.index(metric.figure)
    if metric.attacked:
        return 6 if metric.side == "query" else 7
    return 5 if metric.suite == "reranked" else 8


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
