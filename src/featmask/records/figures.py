"""One figure of one suite: what was done to the images, how large, what is counted; its title, unit and decimals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from ..stats import LOWER_IS_BETTER
from ..utils.radii import extent
from .names import CLEAN, CORRUPTIONS, WORST, Kind, Name, attacked_side, other_domain
from .titles import FIGURES, NORMS, WORST_OF, attack_title, corruption_title

#: Figures that are no shares, and their decimals; all others are shown in percent.
PLAIN = {"nll": 3, "brier": 3, "median_eps": 4}
#: The retrieval figures that lead, in their order.
LEADING = ("rank1", "mAP", "mINP")


@dataclass(frozen=True)
class Figure:
    """One figure of one suite, by its name there; see :mod:`featmask.records.names` for what names hold."""

    suite: str
    name: str

    @cached_property
    def parts(self) -> Name:
        """Its name taken apart."""
        return Name.parse(self.name)

    @property
    def measure(self) -> str:
        """What is counted, whatever was done to the images: ``accuracy``, ``mAP``, ``rank1``."""
        return self.parts.measure or ("accuracy" if self.budget or self.severity else self.name)

    @property
    def kind(self) -> str:
        """The attack (``clean``: the same images, not attacked) or corruption; else of accuracies the figure's name, of
        rankings empty.
        """
        return self.parts.kind

    @cached_property
    def attack(self) -> Kind:
        """Its kind taken apart."""
        return Kind.parse(self.kind)

    @property
    def retrieval(self) -> bool:
        """Whether it is a figure of a ranking."""
        return bool(self.parts.measure)

    @property
    def attacked(self) -> bool:
        """Whether it belongs to an attack or its unattacked control, as a figure of a ranking."""
        return self.retrieval and bool(self.kind)

    @property
    def worst(self) -> bool:
        """Whether it is the worst case over attacks."""
        return self.attack.base == WORST

    @property
    def norm(self) -> str:
        """Of an attack within a ball: ``linf``, ``l2``, ``l1``; empty for squares and for figures without a size."""
        return "" if self.eps is None else self.attack.norm

    @property
    def budget(self) -> str:
        """An attack's size as it was written: ``2/255``, ``20%``; empty for other figures."""
        return self.parts.size

    @cached_property
    def size(self) -> Fraction | None:
        """An attack's size: a radius in pixels, or a share of the image's side; None where none can be read."""
        try:
            return extent(self.budget)
        except (ValueError, ZeroDivisionError):
            return None

    @property
    def eps(self) -> Fraction | None:
        """Of an attack within a ball: its radius as a share of the pixel range."""
        return None if self.budget.endswith("%") else self.size

    @property
    def square(self) -> Fraction | None:
        """Of an attack on a square: its side as a share of the image's shorter side."""
        return self.size if self.budget.endswith("%") else None

    @property
    def severity(self) -> str:
        """Of a corruption at one severity: ``"3"``; empty for other figures."""
        return self.parts.severity

    @property
    def side(self) -> str:
        """What an attack on retrieval changed: ``query``, ``gallery``; empty for other suites."""
        return attacked_side(self.suite)

    @property
    def domain(self) -> str:
        """The data set that it was measured on, where that is another one than the suite's own."""
        return other_domain(self.suite)

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
            title = attack_title(self.kind)
            return WORST_OF.get(self.suite, title) if self.kind == WORST else title
        if self.severity:
            return f"{corruption_title(self.kind)}, severity {self.severity}"
        if any(self.name in kinds for kinds in CORRUPTIONS.values()):
            return corruption_title(self.name)
        unattacked = self.name == CLEAN and self.suite != "clean"
        return "Attacked subset, clean" if unattacked else FIGURES.get(self.name, self.name)

    @property
    def measure_title(self) -> str:
        """What is counted alone: ``Rank-1``, ``mAP``, ``Accuracy``."""
        return self.measure.replace("rank", "Rank-") if self.retrieval else FIGURES.get(self.measure, self.measure)

    def _ranking_title(self) -> str:
        measure = self.measure_title
        if self.attacked:
            text = {WORST: "Worst-case", CLEAN: "Attacked subset, clean"}.get(self.kind, attack_title(self.kind))
            return f"{text} {measure}" + ("" if self.side in ("query", "") else f" ({self.side})")
        if self.domain:
            return f"Cross-domain {measure} ({self.domain})"
        where = {"clean": measure, "reranked": f"Re-ranked {measure}"}
        return where.get(self.suite, f"{measure} ({self.suite})")

    @property
    def words(self) -> str:
        """Within a sentence."""
        if self.retrieval:
            return self._ranking_words()
        if self.budget:
            within = f" ({NORMS[self.attack.norm]})" if self.attack.norm != "linf" else ""
            words = f"worst-case accuracy{within}" if self.worst else f"{attack_title(self.kind)} accuracy"
            return f"{words} at {self.budget}"
        if self.name == "accuracy" and self.suite == "clean":
            return "clean accuracy"
        return FIGURES[self.name].lower() if self.name in FIGURES else self.name

    def _ranking_words(self) -> str:
        measure = self.measure_title
        if self.attacked:
            at = f" at {self.budget}" if self.budget else ""
            side = "" if self.side in ("query", "") else f" ({self.side} attacked)"
            if self.kind == CLEAN:
                return f"clean {measure} of the attacked subset{side}"
            kind = "worst-case" if self.worst else attack_title(self.kind)
            return f"{kind} {measure}{at}{side}"
        if self.domain:
            return f"cross-domain {measure} on {self.domain}"
        where = {"clean": measure, "reranked": f"re-ranked {measure}"}
        return where.get(self.suite, f"{measure} of {self.suite}")

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
            return self.measure == "rank1"
        return self.size is not None or bool(self.severity) or self.name in ("accuracy", CLEAN)


def measure_place(measure: str) -> tuple[int, int]:
    """Of rankings: Rank-1, Rank-5, ..., mAP, mINP."""
    rank = measure.removeprefix("rank")
    return (0, int(rank)) if rank.isdecimal() else (1, LEADING.index(measure))


def show(figure: Figure, value: float | None) -> str:
    """A value for people: percent with one decimal, losses with three, radii with four."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.{PLAIN[figure.name]}f}" if figure.name in PLAIN else f"{100 * value:.1f}"


def sized(figure: Figure, points: float) -> str:
    """A size in points, without a sign; what rounds to nothing is under the last digit."""
    digits = PLAIN.get(figure.name, 1)
    least = 10.0**-digits
    return f"under {least:.{digits}f}" if 0 < points < least / 2 else f"{points:.{digits}f}"


def signed(figure: Figure, value: float) -> str:
    """A difference for people, in points; a zero has no sign."""
    return unsigned_zero(f"{value * figure.scale:+.{PLAIN.get(figure.name, 1)}f}")


def unsigned_zero(text: str) -> str:
    """A signed number as text, a zero without its sign."""
    return text if float(text) else text[1:]
