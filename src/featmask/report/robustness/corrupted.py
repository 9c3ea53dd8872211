"""Common corruptions as a table whose cells are shaded by how much of the accuracy is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...records.figures import Figure
from ...records.names import Name, corruption_name
from ...records.titles import corruption_title
from ..values import in_groups
from .figures import corrupted_suites
from .read import Subject
from .tables import Cell, Line, Table, number, points

#: The shade of a cell that lost everything: text stays readable on it.
_DARKEST = 60


@dataclass(frozen=True)
class Shaded:
    """A figure and its shade: 0 lost nothing, ``_DARKEST`` everything."""

    text: str
    shade: int


@dataclass(frozen=True)
class Heat:
    """One suite of one model: a column per severity, by group its mean and a row per corruption, the mean of them all,
    what is right without corruption (``clean``; empty where it was not measured), and how the images were made.
    """

    subject: str
    suite: str
    n: int
    severities: list[str]
    clean: str
    groups: list[tuple[str, Shaded, list[tuple[str, list[Shaded]]]]]
    mean: Shaded
    notes: str


def heats(subjects: Sequence[Subject]) -> list[Heat]:
    """A table per model and suite."""
    return [_heat(subject, name) for subject in subjects for name in corrupted_suites(subject)]


def _heat(subject: Subject, name: str) -> Heat:
    suite = subject.suites[name]
    metrics = suite.metrics
    found = [Figure(name, key) for key in metrics]
    severities = sorted({metric.severity for metric in found if metric.severity}, key=int)
    clean = metrics.get("clean")
    # what the model can do without corruption is the measure, not 100 %
    top = clean if clean else 1.0

    def shaded(value: float | None) -> Shaded:
        if value is None or not math.isfinite(value):
            return Shaded("–", 0)
        return Shaded(number(value), round(_DARKEST * min(max(1 - value / top, 0.0), 1.0)))

    groups = []
    for title, kinds in in_groups(list(dict.fromkeys(m.kind for m in found if m.severity))):
        values = {k: [*(metrics.get(corruption_name(k, s)) for s in severities), kind_mean(metrics, k)] for k in kinds}
        rows = [(corruption_title(k), list(map(shaded, own))) for k, own in values.items()]
        groups.append((title, shaded(group_mean(metrics, kinds)), rows))
    return Heat(
        subject.name, name, suite.n, severities, "" if clean is None else number(clean), groups,
        shaded(metrics.get("corrupted")), _notes(suite.settings),
    )  # fmt: skip


def kind_mean(metrics: dict[str, float], kind: str) -> float | None:
    """Over severities: as it was recorded, else of those that were."""
    if kind in metrics:
        return metrics[kind]
    own = [value for name, value in metrics.items() if (found := Name.parse(name)).severity and found.kind == kind]
    return sum(own) / len(own) if own else None


def group_mean(metrics: dict[str, float], kinds: Sequence[str]) -> float | None:
    """Over the corruptions that were measured."""
    means = [value for kind in kinds if (value := kind_mean(metrics, kind)) is not None]
    return sum(means) / len(means) if means else None


def _notes(settings: dict[str, object]) -> str:
    parts = []
    if settings.get("published"):
        parts.append("published images")
    if settings.get("table"):
        parts.append(f"strengths of the published {settings['table']} table")
    if settings.get("frost") and not settings.get("published"):
        parts.append(f"frost is {settings['frost']}, where the published one pastes photographs")
    if settings.get("seed") is not None and not settings.get("published"):
        parts.append(f"what is drawn for an image depends on its index and seed {settings['seed']} alone")
    return "; ".join(parts)


def compared(subjects: Sequence[Subject]) -> list[Table]:
    """Of several models: means over severities beside each other, and differences to the first, a table per suite."""
    if len(subjects) < 2:
        return []
    names = [name for subject in subjects for name in corrupted_suites(subject)]
    shared = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    return [_compared([subject for subject in subjects if name in subject.suites], name) for name in shared]


def _compared(subjects: list[Subject], name: str) -> Table:
    records = [subject.suites[name].metrics for subject in subjects]
    named = (Name.parse(key) for metrics in records for key in metrics)
    kinds = list(dict.fromkeys(found.kind for found in named if found.severity))
    groups = []
    for title, members in in_groups(kinds):
        lines = [Line(corruption_title(k), _beside([kind_mean(metrics, k) for metrics in records])) for k in members]
        lines.append(Line(f"{title}, mean", _beside([group_mean(metrics, members) for metrics in records])))
        groups.append((title, lines))
    total = Line("Mean", _beside([metrics.get("corrupted") for metrics in records]), strong=True)
    groups.append(("All", [total]))
    heads = [Cell(subject.name, f"%, n = {subject.suites[name].n:,}") for subject in subjects]
    start = "Means" if name == "corruptions" else f"{name}: means"
    return Table(f"{start} over severities, and the difference to {subjects[0].name}", heads, groups, "Corruption")


def _beside(values: list[float | None]) -> list[Cell]:
    base, *others = values
    differences = ("" if value is None or base is None else points(value, base) for value in others)
    return [Cell(number(base)), *(Cell(number(value), text) for value, text in zip(others, differences, strict=True))]
