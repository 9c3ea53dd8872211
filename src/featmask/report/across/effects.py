"""Several studies beside each other: on how many of them is a method better than the baseline, and by how much?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...records.figures import Figure, show, signed
from ...stats import Paired
from ..study.choice import main_budget
from ..study.tables import Cell, Study
from ..values import csv_text, exact

#: What is compared across studies, in the order in which it is shown: name -> title.
ASPECTS = {
    "clean": "Clean: accuracy or mAP",
    "corrupted": "Corrupted images",
    "linf": "Worst case, L∞",
    "l2": "Worst case, L2",
    "l1": "Worst case, L1",
    "autoattack": "AutoAttack",
    "blackbox": "Worst case without gradients",
    "squares": "Hidden squares, worst case",
    "gallery": "Gallery under attack",
    "reranked": "Re-ranked mAP",
    "cross": "Another data set: mAP",
    "calibration": "Calibration error",
}
COLUMNS = ["study", "page", "baseline", "method", "aspect", "suite", "metric", "seeds", "baseline_mean", "mean",
           "difference", "low95", "high95", "adjusted_p", "outcome"]  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One study of several: a ``name`` of its own for people, the link to its page, what its recipe says of it."""

    name: str
    page: str
    study: Study
    note: str = ""


@dataclass(frozen=True)
class Compared:
    """One method in one study, on one aspect; ``paired`` is the cell's difference to that study's baseline."""

    member: Member
    metric: Figure
    cell: Cell
    paired: Paired

    @property
    def texts(self) -> tuple[str, str]:
        """Difference and interval for people; no interval of one seed."""
        mean, low, high = self.paired.interval
        extent = "" if math.isnan(low) else f"{signed(self.metric, low)} to {signed(self.metric, high)}"
        return signed(self.metric, mean), extent


@dataclass(frozen=True)
class Count:
    """In how many studies a method was better and worse; ``few`` of them have too few seeds for either."""

    better: int
    worse: int
    of: int
    few: int

    @property
    def text(self) -> str:
        """``▲ 2 ▼ 0 of 4, 1 with too few seeds``."""
        return f"▲ {self.better} ▼ {self.worse} {self.total}" if self.of else "–"

    @property
    def total(self) -> str:
        """``of 4, 1 with too few seeds``."""
        return f"of {self.of}" + (f", {self.few} with too few seeds" if self.few else "")


@dataclass(frozen=True)
class Aspect:
    """One aspect of all studies, by its key in ``ASPECTS``: the studies that measured it, each with its figure and the
    baseline's mean; and by method and study's name what was found.
    """

    name: str
    members: list[tuple[Member, Figure, str]]
    rows: dict[str, dict[str, Compared]]

    @property
    def title(self) -> str:
        """For people."""
        return ASPECTS[self.name]

    def count(self, method: str) -> Count:
        """Over the studies in which the method was compared with the baseline."""
        said = [found.cell.outcome for found in self.rows.get(method, {}).values()]
        return Count(said.count("better"), said.count("worse"), len(said), said.count("not enough seeds"))


def shared_methods(members: Sequence[Member]) -> list[str]:
    """Methods that were compared with the baseline in two studies or more, in the order of the first that has them."""
    every = [method for member in members for method in member.study.challengers]
    return [method for method in dict.fromkeys(every) if every.count(method) > 1]


def aspects(members: Sequence[Member], methods: Sequence[str] | None = None) -> list[Aspect]:
    """What at least one of the methods has in a study; of ``methods`` only, else of those that studies share."""
    chosen = shared_methods(members) if methods is None else methods
    found = []
    for name in ASPECTS:
        every = [(member, figure_of(member.study, name)) for member in members]
        figures = [(member, metric) for member, metric in every if metric is not None]
        rows: dict[str, dict[str, Compared]] = {method: {} for method in chosen}
        for member, metric in figures:
            for method in chosen:
                cell = member.study.cells.get((method, metric))
                if cell is not None and cell.paired is not None:
                    rows[method][member.name] = Compared(member, metric, cell, cell.paired)
        rows = {method: own for method, own in rows.items() if own}
        named = {study for own in rows.values() for study in own}
        kept = [(member, metric, _base(member.study, metric)) for member, metric in figures if member.name in named]
        if rows:
            found.append(Aspect(name, kept, rows))
    return found


def figure_of(study: Study, aspect: str) -> Figure | None:
    """The figure that stands for an aspect: of several sizes of an attack the middle one."""
    own = [metric for metric in study.metrics if _aspect(metric) == aspect]
    sized = [metric for metric in own if metric.size is not None]
    if sized:
        middle = main_budget(sized, sized[0].suite)
        own = [m for m in sized if m.suite == sized[0].suite and m.size == middle]
    return own[0] if own else None


def _aspect(metric: Figure) -> str:
    if metric.retrieval:
        return _ranked(metric) if metric.measure == "mAP" else ""
    if metric.worst and metric.budget:
        if metric.square is not None:
            return "squares"
        return metric.suite if metric.suite in ("autoattack", "blackbox") else metric.norm
    return {"accuracy": "clean", "corrupted": "corrupted", "ece": "calibration"}.get(metric.name, "")


def _ranked(metric: Figure) -> str:
    if metric.attacked:
        worst = metric.worst and metric.eps is not None
        return {"query": "linf", "gallery": "gallery"}.get(metric.side, "") if worst else ""
    if metric.domain:
        return "cross"
    return metric.suite if metric.suite == "reranked" else "clean" if metric.suite == "clean" else ""


def _base(study: Study, metric: Figure) -> str:
    cell = study.cells.get((study.baseline, metric))
    return show(metric, None if cell is None else cell.interval.mean)


def across_csv(members: Sequence[Member]) -> str:
    """Every method of every study, those of one study too, in full precision."""
    return csv_text(COLUMNS, _lines(members))


def _lines(members: Sequence[Member]) -> Iterator[list[object]]:
    every = list(dict.fromkeys(method for member in members for method in member.study.challengers))
    for aspect in aspects(members, every):
        for method, own in aspect.rows.items():
            for found in own.values():
                study, metric = found.member.study, found.metric
                base = study.cells[study.baseline, metric].interval.mean
                numbers = [base, found.cell.interval.mean, *found.paired.interval, found.cell.adjusted]
                start = [found.member.name, found.member.page, study.baseline, method, aspect.name, metric.suite]
                yield [*start, metric.name, found.paired.n, *map(exact, numbers), found.cell.outcome]
