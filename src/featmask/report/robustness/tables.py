"""Tables of robustness as text, the same for the page and the Markdown file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ...records.figures import Figure, show, unsigned_zero
from ...records.titles import NORMS, attack_title
from ..values import UNITS
from .figures import Share, attack_metrics, budgets, flips_of, norms, region_metrics, reliability, worst, worst_square
from .read import Subject
from .strength import strength


@dataclass(frozen=True)
class Cell:
    """A figure, and below it in small what it is to be read with."""

    text: str = "–"
    small: str = ""


@dataclass(frozen=True)
class Line:
    """A row: its name, its cells; ``strong`` for those that count."""

    name: str
    cells: list[Cell]
    small: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """Rows in groups; a group's name is empty where there is one alone."""

    title: str
    heads: list[Cell]
    groups: list[tuple[str, list[Line]]]
    first: str = "Attack"


def number(value: float | None) -> str:
    """A share in percent."""
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.1f}"


def points(value: float, base: float) -> str:
    """A difference in percentage points; a zero has no sign."""
    return unsigned_zero(f"{100 * (value - base):+.1f}")


def share_cell(share: Share | None) -> Cell:
    """With Wilson's interval where there is one."""
    return Cell() if share is None else Cell(number(share.value), share.extent)


def attack_tables(subjects: Sequence[Subject]) -> list[Table]:
    """A table per norm: attacks by sizes, the worst case last, and below it what that is."""
    found = []
    for norm in norms(*subjects):
        sizes = dict(sorted(size for subject in subjects for size in budgets(subject, norm).items()))
        groups = []
        for subject in subjects:
            own = [metric for metric in attack_metrics(subject) if metric.norm == norm]
            shares = {eps: worst(subject, norm, eps) for eps in sizes}
            labels = [Cell() if s is None else Cell("", strength(subject, norm, e).label) for e, s in shares.items()]
            closing = Line("What it is", [Cell(""), *labels, Cell("")])
            if own:
                lines = [*_attack_lines(subject, own, shares), closing]
                groups.append((subject.name if len(subjects) > 1 else "", lines))
        heads = [Cell("0", "not attacked"), *(Cell(text) for text in sizes.values()), Cell("n")]
        found.append(Table(f"Right after each attack, %, {NORMS[norm]}", heads, groups))
    return found


def square_table(subjects: Sequence[Subject]) -> Table | None:
    """Attacks on squares by the side of the square."""
    sizes = {m.square: m.budget for subject in subjects for m in region_metrics(subject) if m.square is not None}
    if not sizes:
        return None
    sizes = dict(sorted(sizes.items()))
    groups = []
    for subject in subjects:
        lines = _attack_lines(subject, region_metrics(subject), {side: worst_square(subject, side) for side in sizes})
        if lines:
            groups.append((subject.name if len(subjects) > 1 else "", lines))
    heads = [Cell("0", "nothing hidden"), *(Cell(text, "of the side") for text in sizes.values()), Cell("n")]
    return Table("Right with a square hidden or replaced, %", heads, groups)


def _attack_lines(subject: Subject, own: list[Figure], shares: dict[Fraction, Share | None]) -> list[Line]:
    """A row per attack and suite, and the worst case, over the sizes that ``shares`` has."""
    suites = dict.fromkeys(metric.suite for metric in own)
    lines = []
    for kind, suite in dict.fromkeys((figure.attack.without_norm, figure.suite) for figure in own):
        same = [figure for figure in own if (figure.attack.without_norm, figure.suite) == (kind, suite)]
        if kind == "worst" and len(suites) == 1:
            continue  # it is the last row, with its interval
        record = subject.suites[suite]
        by_size = {m.square if m.eps is None else m.eps: record.metrics[m.name] for m in same}
        cells = [Cell(number(record.metrics.get("clean"))), *(Cell(number(by_size.get(size))) for size in shares)]
        often = len({m.suite for m in own if m.attack.without_norm == kind})
        lines.append(Line(attack_title(kind), [*cells, Cell(f"{record.n:,}")], suite if often > 1 else ""))
    known = [share for share in shares.values() if share is not None]
    if known:
        before = number(subject.suites[known[0].suites[0]].metrics.get("clean"))
        counts = " / ".join(f"{n:,}" for n in sorted({share.n for share in known}))
        together = "all suites on the same samples" if any(len(share.suites) > 1 for share in known) else ""
        cells = [Cell(before), *map(share_cell, shares.values()), Cell(counts)]
        lines.append(Line("Worst case", cells, together, strong=True))
    return lines


def flip_table(subjects: Sequence[Subject]) -> Table | None:
    """Smallest radii: quartiles over the samples that were right before."""
    lines = []
    for subject in subjects:
        for norm in norms(*subjects):
            flips = flips_of(subject, norm)
            if flips is None:
                continue
            quantiles = [Cell(radius_text(norm, flips.quantile(q), flips.budget)) for q in (0.25, 0.5, 0.75)]
            ends = [Cell(number(flips.wrong)), Cell(number(flips.unflipped)), Cell(flips.budget), Cell(f"{flips.n:,}")]
            name = f"{subject.name}, {NORMS[norm]}" if len(subjects) > 1 else NORMS[norm]
            lines.append(Line(name, [*quantiles, *ends], attack_title(flips.attack) if flips.attack else ""))
    heads = [
        Cell("A quarter", "flips within"), Cell("Half (median)", "flips within"),
        Cell("Three quarters", "flips within"),
        Cell("Wrong before", "%"), Cell("Never flipped", "%"), Cell("Up to"), Cell("n"),
    ]  # fmt: skip
    return Table("Smallest eps that flips a sample", heads, [("", lines)], "Norm, searched with") if lines else None


def radius_text(norm: str, value: float, highest: str) -> str:
    """``1.25/255``; a quantile among samples that were never flipped lies above what was tried."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return f"> {highest}"
    scaled = f"{UNITS[norm][0] * value:.3g}"
    return f"{scaled}/255" if norm == "linf" else scaled


def calibration_table(subjects: Sequence[Subject]) -> Table | None:
    """What the suite ``clean`` says of confidence."""
    names = ("accuracy", "balanced_accuracy", "ece", "brier", "nll", "ood_auroc")
    own = [subject for subject in subjects if "clean" in subject.suites]
    shown = [name for name in names if any(name in subject.suites["clean"].metrics for subject in own)]
    if not shown:
        return None
    lines = []
    for subject in own:
        suite = subject.suites["clean"]
        cells = [Cell(show(Figure("clean", name), suite.metrics.get(name)), _against(subject, name)) for name in shown]
        lines.append(Line(subject.name, [*cells, Cell(f"{suite.n:,}")]))
    heads = []
    for metric in (Figure("clean", name) for name in shown):
        parts = ["%" if metric.scale != 1 else "", "lower is better" if metric.lower_is_better else ""]
        heads.append(Cell(metric.short, ", ".join(part for part in parts if part)))
    return Table("Calibration", [*heads, Cell("n")], [("", lines)], "Model")


def _against(subject: Subject, name: str) -> str:
    settings = subject.suites["clean"].settings
    if name != "ood_auroc" or "ood" not in settings:
        return ""
    count = settings.get("ood_n")
    return f"against {settings['ood']}" + (f", n = {count:,}" if isinstance(count, int) else "")


def bin_table(subjects: Sequence[Subject]) -> Table | None:
    """The reliability diagram as figures."""
    groups = []
    for subject in subjects:
        lines = []
        for one in reliability(subject):
            cells = [Cell(f"{100 * one.confidence:.1f}"), Cell(f"{100 * one.accuracy:.1f}"), Cell(f"{one.n:,}")]
            lines.append(Line(f"{one.low:.3f} to {one.high:.3f}", cells))
        if lines:
            groups.append((subject.name if len(subjects) > 1 else "", lines))
    heads = [Cell("Mean confidence", "%"), Cell("Right", "%"), Cell("n")]
    return Table("Confidence against accuracy", heads, groups, "Confidence") if groups else None
