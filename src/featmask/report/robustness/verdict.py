"""The first thing a reader sees: what is left under attack, and whether that figure can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...records.titles import NORMS
from .checks import trust
from .figures import Share, budgets, clean_share, corrupted_suites, main_budget, norms, sides, worst, worst_square
from .read import Subject
from .strength import FLOOR, Strength, strength

#: Above this a model that no check vouches for is called unverified.
_REMARKABLE = 0.1


def percent(value: float) -> str:
    """``93.1 %``; what rounds to nothing or all without being so says so."""
    text = f"{100 * value:.1f} %"
    if 0 < value < 0.0005:
        return "less than 0.1 %"
    return "more than 99.9 %" if 0.9995 <= value < 1 else text


def with_interval(share: Share) -> str:
    """``93.1 % (95 % interval 91.0 to 94.8 %)``."""
    return percent(share.value) + (f" (95 % interval {share.extent} %)" if share.extent else "")


def verdict_lines(subject: Subject, subjects: Sequence[Subject]) -> list[str]:
    """Of one model: the main sentence and how strong its attacks are, a line per norm, checks, corruptions, squares.

    ``subjects`` are all on the page: they share their main sizes.
    """
    figures = _norm_figures(subject, subjects)
    found = [_first(subject, figures[0] if figures else None)]
    found += [f"The figure under attack is {figure.strength.sentence}." for figure in figures[:1]]
    found += [figure.said for figure in figures[1:]]
    found.append(trust(subject.doctor).sentence)
    return found + _other_lines(subject)


class _Figure(NamedTuple):
    """The worst case of one norm at its main size."""

    where: str
    share: Share
    strength: Strength
    remark: str

    @property
    def said(self) -> str:
        said = f"Within {self.where}: {with_interval(self.share)} of {self.share.n:,} stay right"
        return f"{said} ({self.strength.label}).{self.remark}"


def _norm_figures(subject: Subject, subjects: Sequence[Subject]) -> list[_Figure]:
    found = []
    for norm in norms(subject):
        eps = main_budget(subjects, norm)
        share = None if eps is None else worst(subject, norm, eps)
        if share is None or eps is None:
            continue
        remark = ""
        if share.value < FLOOR:
            remark = (
                " Practically nothing survives, as is usual for a network without a defence: it is not robust there."
            )
        elif subject.doctor is None and share.value > _REMARKABLE:
            remark = " No check vouches for this figure: it is unverified."
        where = f"{NORMS[norm]} {budgets(subject, norm)[eps]}"
        found.append(_Figure(where, share, strength(subject, norm, eps), remark))
    return found


def _first(subject: Subject, figure: _Figure | None) -> str:
    clean = clean_share(subject)
    if clean is None and figure is None:
        return "No accuracy was measured."
    start = ""
    if clean is not None:
        suite = subject.suites[clean.suites[0]]
        which = "the first " if suite.settings.get("limit") is not None else ""
        start = f"{with_interval(clean)} of {which}{clean.n:,} {suite.split} images are named right"
    if figure is None:
        return f"{start}. No attack within a ball was run: nothing is known of what an attacker could do."
    of = "" if clean is not None and clean.n == figure.share.n else f" of {figure.share.n:,}"
    attacked = f"{with_interval(figure.share)}{of} after the worst attack within {figure.where}"
    said = f"{start}, {attacked}" if start else f"{attacked} are named right"
    return f"{said} ({figure.strength.label}).{figure.remark}"


def _other_lines(subject: Subject) -> list[str]:
    found = []
    for name in corrupted_suites(subject):
        suite = subject.suites[name]
        mean = suite.metrics.get("corrupted")
        if mean is not None:
            kinds = len({m.kind for m in subject.metrics if m.suite == name and m.severity})
            kind = "corruption" if kinds == 1 else "corruptions"
            published = f" ({suite.name})" if suite.settings.get("published") else ""
            found.append(f"Mean over {kinds} common {kind}{published}: {percent(mean)} right.")
    if sizes := sides(subject):
        middle = sizes[len(sizes) // 2]
        share = worst_square(subject, middle)
        if share is not None:
            found.append(
                f"One square of {float(100 * middle):g} % of the shorter side hidden or replaced, at the worst: "
                f"{with_interval(share)} right."
            )
    return found
