"""The first thing a reader sees: what can be said, in plain sentences, and no more than that."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..stats import ENOUGH_SEEDS
from .choice import main_budget
from .metric import Metric, show, signed
from .tables import Cell, Study

#: The method that this package is about: where it was run, the first sentence is about it.
SUBJECT = "lfm"
#: Where not even so much is left of any method, an attack is too strong to compare them.
FLOOR = 0.02
#: More methods of the same outcome are counted, not named: the tables have them.
NAMED = 5


def primary_metrics(study: Study) -> list[Metric]:
    """Accuracy or mAP, and the worst case at the attacks' main budget; without these, the first headline figure."""
    headline = study.headline
    clean = [m for m in headline if m.name == "accuracy" or (m.suite, m.name) == ("clean", "mAP")][:1]
    worst = [m for m in headline if m.kind == "worst" and m.eps is not None]
    attacked = [m for m in worst if m.eps == main_budget(worst, m.suite)][:1]
    return clean + attacked or headline[:1]


def verdict_lines(study: Study) -> list[str]:
    """The subject (or the only challenger) in plain words, then its figures, then a line a figure on all others.

    Every outcome is the verdict of ``stats.verdict``; a claim that the number of comparisons could explain says so.
    """
    if not study.challengers:
        return [f"One method ({study.baseline}): there is nothing to compare it with."]
    metrics = primary_metrics(study)
    first = [m for m in study.challengers if m == SUBJECT or len(study.challengers) == 1]
    rest = [m for m in study.challengers if m not in first]
    lines = [line for method in first for line in _subject(study, method, metrics)]
    lines += [line for metric in metrics if rest and (line := _overview(study, metric, rest))]
    lines += [line for metric in metrics if (line := _floor(study, metric))]
    return lines or ["No figure was measured on common seeds: nothing can be compared."]


def _floor(study: Study, metric: Metric) -> str:
    """Where an attack leaves nothing of any method, that it cannot tell them apart."""
    means = [cell.interval.mean for method in study.methods if (cell := study.cells.get((method, metric)))]
    if metric.eps is None or metric.scale == 1 or not means or max(means) >= FLOOR:
        return ""
    return (
        f"{metric.words[:1].upper()}{metric.words[1:]} is {show(metric, max(means))} % or less for every method: "
        "nothing survives an attack of that size, so that it cannot tell methods apart."
    )


def _subject(study: Study, method: str, metrics: Sequence[Metric]) -> list[str]:
    """What can be said about one method, and the figures behind it."""
    found = [(metric, cell) for metric in metrics if (cell := study.cells.get((method, metric))) and cell.paired]
    if not found:
        return []
    parts = []
    for outcome, group in groupby(found, key=lambda pair: _outcome(pair[1])):
        joint = " or " if outcome == "no difference shown" else " and "
        parts.append(f"{_in_words(outcome)} on {joint.join(_named(study, *pair) for pair in group)}")
    seeds = min(cell.paired.n for _, cell in found if cell.paired)
    number = f"{seeds} seed{'s' if seeds > 1 else ''}"
    closing = f"{number}; a claim needs {ENOUGH_SEEDS}" if seeds < ENOUGH_SEEDS else number
    sizes = "; ".join(f"{metric.words} {_size(metric, cell)}" for metric, cell in found)
    # mAP is written so at the start of a sentence too
    opening = sizes[:1] if sizes.startswith(("mAP", "mINP")) else sizes[:1].upper()
    return [f"{method} against {study.baseline}: {', '.join(parts)} ({closing}).", f"{opening}{sizes[1:]}."]


def _in_words(outcome: str) -> str:
    return "not enough seeds for a claim" if outcome == "not enough seeds" else outcome


def _named(study: Study, metric: Metric, cell: Cell) -> str:
    chance = f" (though not after correction for {study.compared} comparisons)"
    return metric.words + (chance if cell.fragile else "")


def _overview(study: Study, metric: Metric, methods: Sequence[str]) -> str:
    """One figure of many methods: claims first, each with its interval."""
    cells = {m: cell for m in methods if (cell := study.cells.get((m, metric))) and cell.paired}
    parts = []
    for outcome in ("better", "worse"):
        said = [(m, cell) for m, cell in cells.items() if _outcome(cell) == outcome]
        parts += [f"{m} {outcome}{' †' if cell.fragile else ''} ({_size(metric, cell)})" for m, cell in said]
    for outcome in ("no difference shown", "not enough seeds"):
        group = {m: cell.paired.interval.mean for m, cell in cells.items() if _outcome(cell) == outcome and cell.paired}
        if len(group) > NAMED:
            extent = f"{signed(metric, min(group.values()))} to {signed(metric, max(group.values()))}"
            parts.append(f"{_in_words(outcome)} for {len(group)} methods ({extent}{_points(metric)})")
        elif group:
            each = ", ".join(f"{m} ({signed(metric, mean)}{_points(metric)})" for m, mean in group.items())
            parts.append(f"{outcome} for {each}")
    return f"Others against {study.baseline} on {metric.words}: {'; '.join(parts)}." if parts else ""


def _outcome(cell: Cell) -> str:
    return cell.verdict.outcome if cell.verdict else ""


def _points(metric: Metric) -> str:
    return " points" if metric.scale != 1 else ""


def _size(metric: Metric, cell: Cell) -> str:
    """A difference for people; with its interval where seeds allow one."""
    assert cell.paired is not None
    mean, low, high = cell.paired.interval
    text = f"{signed(metric, mean)}{_points(metric)}"
    if cell.paired.n < ENOUGH_SEEDS:
        return text
    return f"{text}, 95 % interval {signed(metric, low)} to {signed(metric, high)}"
