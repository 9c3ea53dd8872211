"""The first thing a reader sees: what can be said, in plain sentences, and no more than that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from ...records.figures import Figure, show, signed, sized
from ...stats import ENOUGH_SEEDS, could_show
from ..values import enumerated
from .choice import main_budget
from .tables import Cell, Study

#: The method that this package is about: where it was run, the first sentence is about it.
SUBJECT = "lfm"
#: Where not even so much is left of any method, an attack is too strong to compare them.
FLOOR = 0.02
#: More methods without a difference are counted, not named: the tables have them.
NAMED = 5


@dataclass(frozen=True)
class MetricLine:
    """What can be said about one figure of all methods: each one's verdict against the baseline, in their order, and
    all of them in one sentence, with how large a difference could have been shown where none was.
    """

    metric: Figure
    outcomes: dict[str, str]
    sentence: str


def primary_metrics(study: Study) -> list[Figure]:
    """Accuracy or mAP, and the worst case at the attacks' main budget; without these, the first headline figure."""
    headline = study.headline
    clean = [m for m in headline if m.name == "accuracy" or (m.suite, m.name) == ("clean", "mAP")][:1]
    worst = [m for m in headline if m.worst and m.eps is not None]
    attacked = [m for m in worst if m.eps == main_budget(worst, m.suite)][:1]
    return clean + attacked or headline[:1]


def verdict_lines(study: Study) -> list[str]:
    """The subject (or the only challenger) in plain words, then its figures; without it, what holds for how many.

    Every outcome is that of ``stats.outcome_of``; a claim that the number of comparisons could explain says so.
    What holds for the others is in ``metric_lines``.
    """
    if not study.challengers:
        return [f"One method ({study.baseline}): there is nothing to compare it with."]
    metrics = primary_metrics(study)
    first = [m for m in study.challengers if m == SUBJECT or len(study.challengers) == 1]
    lines = [line for method in first for line in _subject(study, method, metrics)] or _counted(study, metrics)
    lines += [line for metric in metrics if (line := _floor(study, metric))]
    return lines or ["No figure was measured on common seeds: nothing can be compared."]


def metric_lines(study: Study) -> list[MetricLine]:
    """A sentence for each headline figure that was measured on common seeds."""
    found = [(metric, _compared(study, metric)) for metric in study.headline]
    return [
        MetricLine(metric, {method: cell.outcome for method, cell in cells.items()}, _line(study, metric, cells))
        for metric, cells in found
        if cells
    ]


def _floor(study: Study, metric: Figure) -> str:
    """Where an attack leaves nothing of any method, that it cannot tell them apart."""
    means = [cell.interval.mean for method in study.methods if (cell := study.cells.get((method, metric)))]
    if metric.eps is None or metric.scale == 1 or not means or max(means) >= FLOOR:
        return ""
    return (
        f"{metric.words[:1].upper()}{metric.words[1:]} is {show(metric, max(means))} % or less for every method: "
        "nothing survives an attack of that size, so that it cannot tell methods apart."
    )


def _subject(study: Study, method: str, metrics: Sequence[Figure]) -> list[str]:
    """What can be said about one method, and the figures behind it."""
    found = [(metric, cell) for metric in metrics if (cell := study.cells.get((method, metric))) and cell.paired]
    if not found:
        return []
    parts = []
    for outcome, group in groupby(found, key=lambda pair: pair[1].outcome):
        joint = " or " if outcome == "no difference shown" else " and "
        said = "not enough seeds for a claim" if outcome == "not enough seeds" else outcome
        chance = f" (though not after correction for {study.compared} comparisons)"
        parts.append(f"{said} on {joint.join(metric.words + chance * cell.fragile for metric, cell in group)}")
    seeds = min(cell.paired.n for _, cell in found if cell.paired)
    number = f"{seeds} seed{'s' if seeds > 1 else ''}"
    closing = f"{number}; a claim needs {ENOUGH_SEEDS}" if seeds < ENOUGH_SEEDS else number
    sizes = "; ".join(f"{metric.words} {_size(metric, cell)}" for metric, cell in found)
    # mAP is written so at the start of a sentence too
    opening = sizes[:1] if sizes.startswith(("mAP", "mINP")) else sizes[:1].upper()
    return [f"{method} against {study.baseline}: {', '.join(parts)} ({closing}).", f"{opening}{sizes[1:]}."]


def _compared(study: Study, metric: Figure) -> dict[str, Cell]:
    return {m: cell for m in study.challengers if (cell := study.cells.get((m, metric))) and cell.paired}


def _counted(study: Study, metrics: Sequence[Figure]) -> list[str]:
    """How many methods are better, worse, or neither."""
    parts = []
    for metric in metrics:
        cells = _compared(study, metric)
        fragile = Counter(cell.outcome for cell in cells.values() if cell.fragile)
        counts = Counter(cell.outcome for cell in cells.values())
        words = [
            f"{counts[outcome]} {outcome}" + (f" ({fragile[outcome]} not after correction)" if fragile[outcome] else "")
            for outcome in ("better", "worse")
            if counts[outcome]
        ]
        words += [f"no difference shown for {n}"] if (n := counts["no difference shown"]) else []
        words += [f"not enough seeds for a claim about {n}"] if (n := counts["not enough seeds"]) else []
        parts += [f"on {metric.words} {enumerated(words)}"] if words else []
    number = len(study.challengers)
    return [f"{number} methods against {study.baseline}: {'; '.join(parts)}."] if parts else []


def _line(study: Study, metric: Figure, cells: Mapping[str, Cell]) -> str:
    """Claims first, then what shows no difference and how large it could have been, then what has too few seeds."""
    sizes = {m: signed(metric, cell.paired.interval.mean) for m, cell in cells.items() if cell.paired}
    groups = {
        outcome: [method for method, cell in cells.items() if cell.outcome == outcome]
        for outcome in ("better", "worse", "no difference shown", "not enough seeds")
    }
    parts = []
    for outcome in ("better", "worse"):
        each = [f"{m} ({sizes[m]}{', †' if cells[m].fragile else ''})" for m in groups[outcome]]
        parts += [f"{enumerated(each)} {outcome} than {study.baseline}"] if each else []
    against = "" if parts else f" against {study.baseline}"
    equal = groups["no difference shown"]
    if equal:
        whom = f"{len(equal)} methods" if len(equal) > NAMED else enumerated([f"{m} ({sizes[m]})" for m in equal])
        parts.append(f"no difference shown for {whom}")
        parts += _least(metric, [cells[m] for m in equal])
    few = groups["not enough seeds"]
    if few:
        each = [f"{m} ({sizes[m]})" for m in few]
        parts.append(f"no claim from {_seeds(cells[m] for m in few)} about {enumerated(each)}")
    if any(cell.fragile for cell in cells.values()):
        parts.append(f"†: not after correction for {study.compared} comparisons")
    lower = " (lower is better)" if metric.lower_is_better else ""
    return f"On {metric.words}{lower}{against}: {'; '.join(parts)}."


def _least(metric: Figure, cells: Sequence[Cell]) -> list[str]:
    """From what size on a difference would have been shown."""
    known = [(could_show(cell.paired, metric.scale), cell) for cell in cells if cell.paired]
    found = [(least, cell) for least, cell in known if least >= 0]
    if not found:
        return []
    low, high = (sized(metric, choose(least for least, _ in found)) for choose in (min, max))
    extent = high if low == high else f"{low} to {high}"
    return [f"{_seeds(cell for _, cell in found)} could have shown {extent}{_points(metric)}"]


def _seeds(cells: Iterable[Cell]) -> str:
    counts = sorted({cell.paired.n for cell in cells if cell.paired})
    extent = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{extent} seed{'' if extent == '1' else 's'}"


def _points(metric: Figure) -> str:
    return " points" if metric.scale != 1 else ""


def _size(metric: Figure, cell: Cell) -> str:
    """A difference for people; with its interval where seeds allow one."""
    assert cell.paired is not None
    mean, low, high = cell.paired.interval
    text = f"{signed(metric, mean)}{_points(metric)}"
    if cell.paired.n < ENOUGH_SEEDS:
        return text
    return f"{text}, 95 % interval {signed(metric, low)} to {signed(metric, high)}"
