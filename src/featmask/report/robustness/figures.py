"""Figures of one model, from its records: shares with their intervals, worst cases, radii that flip, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from ...records.figures import Figure
from ...records.names import Name
from ...records.titles import NORMS, attack_place
from ...stats import Interval, wilson
from ...stats.calibration import Bin, confidence_bins
from .read import Subject, suite_place

Floats = npt.NDArray[np.float64]
#: The budget that stands for a norm where it was measured; else the middle of those that were.
USUAL = {"linf": Fraction(8, 255), "l2": Fraction(1, 2), "l1": Fraction(12)}
#: A curve has no more points, however many samples it is made of.
POINTS = 200


@dataclass(frozen=True)
class Share:
    """The share of ``n`` samples that is right.

    Attributes:
        suites: whose outcomes were put together.
        interval: Wilson's, 95 %; None where it is no counted share.
        right: each sample's outcome, in the order of the record.
        of: fingerprint of the samples.
    """

    value: float
    n: int
    suites: tuple[str, ...]
    interval: Interval | None
    right: Floats
    of: str

    @property
    def extent(self) -> str:
        """The interval in percent, ``91.0 to 94.8``; empty where there is none."""
        return "" if self.interval is None else f"{100 * self.interval.low:.1f} to {100 * self.interval.high:.1f}"


@dataclass(frozen=True)
class Flips:
    """The smallest radius found that flips each sample: 0 where it was wrong before, infinite where none did.

    ``highest`` is the largest radius that was tried, ``budget`` the same as it was written, ``attack`` what searched.
    """

    suite: str
    radii: Floats
    highest: float
    budget: str
    attack: str

    @property
    def n(self) -> int:
        """Samples, those already wrong included."""
        return len(self.radii)

    @property
    def wrong(self) -> float:
        """Share that was wrong before any attack."""
        return float((self.radii <= 0).mean())

    @property
    def unflipped(self) -> float:
        """Share of all samples that no attack flipped."""
        return float(np.isinf(self.radii).mean())

    def quantile(self, share: float) -> float:
        """Of the samples that were right before; infinite where it lies among those that were never flipped."""
        right = self.radii[self.radii > 0]
        if not len(right):
            return math.nan
        # no interpolation between a radius and infinity
        return float(np.median(right)) if share == 0.5 else float(np.quantile(right, share, method="inverted_cdf"))


def share_of(right: npt.NDArray[Any], suites: tuple[str, ...], of: str) -> Share:
    """A share, with its interval where every outcome is right or wrong."""
    values = np.asarray(right, dtype=np.float64)
    counted = bool(np.isin(values, (0.0, 1.0)).all()) and len(values) > 0
    mean = float(values.mean()) if len(values) else math.nan
    interval = wilson(int(values.sum()), len(values)) if counted else None
    return Share(mean, len(values), suites, interval, values, of)


def clean_share(subject: Subject) -> Share | None:
    """Right before any attack: of the suite ``clean``, else of the suite with most samples that says it."""
    columns = subject.samples.get("clean", {})
    if "correct" in columns:
        return share_of(columns["correct"], ("clean",), subject.fingerprints["clean"])
    others = [(len(own["clean"]), name) for name, own in subject.samples.items() if "clean" in own]
    if not others:
        return None
    name = max(others, key=lambda pair: pair[0])[1]
    return share_of(subject.samples[name]["clean"], (name,), subject.fingerprints[name])


def attack_metrics(subject: Subject) -> list[Figure]:
    """Every figure of an attack within a ball, in the order in which they are shown."""
    own = (metric for metric in subject.metrics if metric.norm and not metric.retrieval)
    return sorted(own, key=lambda metric: (attack_place(metric.kind), metric.eps or 0))


def region_metrics(subject: Subject) -> list[Figure]:
    """Every figure of an attack on a square."""
    own = (metric for metric in subject.metrics if metric.square)
    return sorted(own, key=lambda metric: (attack_place(metric.kind), metric.square or 0))


def norms(*subjects: Subject) -> list[str]:
    """Those that any of the subjects was attacked in."""
    found = {metric.norm for subject in subjects for metric in attack_metrics(subject)}
    return [norm for norm in NORMS if norm in found]


def sides(*subjects: Subject) -> list[Fraction]:
    """Of the squares that any of the subjects was attacked with, ascending."""
    return sorted({m.square for subject in subjects for m in region_metrics(subject) if m.square is not None})


def budgets(subject: Subject, norm: str) -> dict[Fraction, str]:
    """Radius -> as it was written, ascending."""
    found = {m.eps: m.budget for m in attack_metrics(subject) if m.norm == norm and m.eps is not None}
    return dict(sorted(found.items()))


def main_budget(subjects: Sequence[Subject], norm: str) -> Fraction | None:
    """The radius that stands for a norm: the usual one, else the middle of those that all of the subjects have."""
    measured = [set(budgets(subject, norm)) for subject in subjects if norm in norms(subject)]
    if not measured:
        return None
    common = sorted(set.intersection(*measured)) or sorted(set.union(*measured))
    return USUAL[norm] if USUAL[norm] in common else common[len(common) // 2]


def worst(subject: Subject, norm: str, eps: Fraction) -> Share | None:
    """Right under every attack of one radius, over all suites that were measured on the same samples.

    Suites on other samples (a limit, say) are left out: of several sets the one with most samples counts.
    """
    return _worst(subject, [m for m in attack_metrics(subject) if m.norm == norm and m.eps == eps])


def worst_square(subject: Subject, square: Fraction) -> Share | None:
    """The same of squares of one size."""
    return _worst(subject, [m for m in region_metrics(subject) if m.square == square])


def _worst(subject: Subject, metrics: list[Figure]) -> Share | None:
    groups: dict[str, list[Figure]] = {}
    for metric in metrics:
        if metric.name in subject.samples.get(metric.suite, {}):
            groups.setdefault(subject.fingerprints[metric.suite], []).append(metric)
    if not groups:
        return None
    of, own = max(groups.items(), key=lambda group: subject.suites[group[1][0].suite].n)
    right = np.min([subject.samples[m.suite][m.name] for m in own], axis=0)
    return share_of(right, tuple(sorted({m.suite for m in own}, key=suite_place)), of)


def flips_of(subject: Subject, norm: str) -> Flips | None:
    """The search for the smallest radius in a norm; of several the one on most samples."""
    found = []
    for name, columns in subject.samples.items():
        settings = subject.suites[name].settings
        searched = settings.get("smallest")
        searched = searched if isinstance(searched, dict) else {}
        if "flip_eps" not in columns or (searched.get("norm") or settings.get("norm") or "linf") != norm:
            continue
        radii, sizes = np.asarray(columns["flip_eps"], dtype=np.float64), budgets(subject, norm)
        written = str(searched.get("highest", ""))
        highest = Figure(name, str(Name(size=written))).eps or max(sizes, default=None)
        top = float(radii[np.isfinite(radii)].max(initial=0.0) if highest is None else highest)
        attack = searched.get("attack")
        title = str(attack.get("name", "")) if isinstance(attack, dict) else str(attack or "")
        text = sizes.get(highest, written) if highest is not None else f"{top:g}"
        found.append(Flips(name, radii, top, text, Name.parse(title).kind))
    return max(found, key=lambda flips: flips.n, default=None)


def curve(flips: Flips) -> tuple[Floats, Floats]:
    """Accuracy against the radius: the share of samples whose smallest flipping radius is larger.

    Returns:
        Radii from 0 to the highest that was tried, at most ``POINTS`` of them, and the exact share at each; between
        two radii the share is the left one's, or lower where points were left out.
    """
    radii = np.sort(flips.radii)
    steps = np.unique(radii[(radii > 0) & (radii < flips.highest)])
    if len(steps) > POINTS - 2:
        steps = steps[np.unique(np.linspace(0, len(steps) - 1, POINTS - 2).round().astype(int))]
    x = np.unique(np.concatenate([[0.0], steps, [flips.highest]]))
    above = len(radii) - np.searchsorted(radii, x, side="right")
    return x, above / max(len(radii), 1)


def reliability(subject: Subject) -> list[Bin]:
    """Confidence against accuracy in bins of equal width, upper edges inclusive; empty ones are left out."""
    columns = subject.samples.get("clean", {})
    if "confidence" not in columns or "correct" not in columns or not len(columns["correct"]):
        return []
    return confidence_bins(columns["confidence"], columns["correct"])


def corrupted_suites(subject: Subject) -> list[str]:
    """Suites that hold corruptions at severities."""
    return [name for name, s in subject.suites.items() if any(Figure(name, metric).severity for metric in s.metrics)]
