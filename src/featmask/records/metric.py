"""One figure: its name for people, its unit, its place in a report."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from ..stats import LOWER_IS_BETTER
from .names import ATTACKS, CORRUPTIONS, NORMS, PARTS, TITLES, WORST

#: Figures that are no shares, and their decimals; all others are shown in percent.
PLAIN = {"nll": 3, "brier": 3, "median_eps": 4}
#: The retrieval figures that lead, in their order.
LEADING = ("rank1", "mAP", "mINP")
#: Before the name of another data set: the model was scored there.
_CROSS = "cross_"
#: Before the name of an attack that was made on another model.
_TRANSFER = "transfer-"
_RETRIEVAL = re.compile(r"rank(\d{1,4})|mAP|mINP", re.ASCII)


def other_domain(suite: str) -> str:
    """The data set that a cross-domain suite was scored on; empty for other suites."""
    return suite.removeprefix(_CROSS) if suite.startswith(_CROSS) else ""


def attack_title(kind: str) -> str:
    """An attack's name for people: ``FNA (L2)``, ``APGD, DLR, targeted``; what is not known keeps its own."""
    name, *parts = kind.removeprefix(_TRANSFER).split("-")
    if name not in ATTACKS:
        return kind
    moved = " from another model" if kind.startswith(_TRANSFER) else ""
    norm = f" ({NORMS.get(parts[-1], parts[-1].upper())})" if parts and parts[-1] not in PARTS else ""
    own = "".join(f", {PARTS.get(part, part)}" for part in parts[: -1 if norm else None])
    return ATTACKS[name] + own + moved + norm


def corruption_title(kind: str) -> str:
    """``Gaussian noise``, ``JPEG compression``."""
    text = kind.replace("_", " ").replace("jpeg", "JPEG")
    return text[:1].upper() + text[1:]


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
    def norm(self) -> str:
        """Of an attack within a ball: ``linf``, ``l2``, ``l1``; empty for squares and for figures without a size."""
        ending = self.kind.rpartition("-")[2]
        return (ending if ending in NORMS else "linf") if self.eps is not None else ""

    @property
    def square(self) -> Fraction | None:
        """Of an attack on a square: its side as a share of the image's shorter side."""
        try:
            return Fraction(self.budget.removesuffix("%")) / 100 if self.budget.endswith("%") else None
        except ValueError:
            return None

    @property
    def severity(self) -> str:
        """Of a corruption at one severity: ``"3"``; empty for other figures."""
        kind, _, level = self.name.partition(":")
        return level if kind and level.isdigit() else ""

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
            return WORST.get(self.suite, attack_title(self.kind)) if self.kind == "worst" else attack_title(self.kind)
        if self.severity:
            return f"{corruption_title(self.name.partition(':')[0])}, severity {self.severity}"
        if any(self.name in kinds for kinds in CORRUPTIONS.values()):
            return corruption_title(self.name)
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
            kind, _, norm = self.kind.partition("-")
            within = f" ({NORMS[norm]})" if norm in NORMS else ""
            words = f"worst-case accuracy{within}" if kind == "worst" else f"{attack_title(self.kind)} accuracy"
            return f"{words} at {self.budget}"
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
        sized = self.eps is not None or self.square is not None
        return sized or bool(self.severity) or self.name in ("accuracy", "clean")

    @property
    def eps(self) -> Fraction | None:
        """An attack's budget as a share of the pixel range; None where there is none that can be read."""
        top, _, bottom = self.budget.partition("/")
        try:
            return Fraction(top) / Fraction(bottom or "1")  # 0.5/255 is no literal of Fraction
        except (ValueError, ZeroDivisionError):
            return None


def show(metric: Metric, value: float | None) -> str:
    """A figure for people: percent with one decimal, losses with three, radii with four."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.{PLAIN[metric.name]}f}" if metric.name in PLAIN else f"{100 * value:.1f}"


def sized(metric: Metric, points: float) -> str:
    """A size in points, without a sign; what rounds to nothing is under the last digit."""
    digits = PLAIN.get(metric.name, 1)
    least = 10.0**-digits
    return f"under {least:.{digits}f}" if 0 < points < least / 2 else f"{points:.{digits}f}"


def signed(metric: Metric, value: float) -> str:
    """A difference for people, in points; a zero has no sign."""
    return unsigned_zero(f"{value * metric.scale:+.{PLAIN.get(metric.name, 1)}f}")


def unsigned_zero(text: str) -> str:
    """A signed number as text, a zero without its sign."""
    return text if float(text) else text[1:]
