"""Samples that one method saves and another loses: counted over seeds, and those that differ most as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...drawing.sheet import Cell, Row, enlarged, save_sheet
from ...errors import FeatmaskError
from ...records.figures import Figure
from ...records.names import Name, ranking_name
from ...records.run import Run
from ...records.suite import Columns
from ...records.titles import ATTACKING
from ...stats import mcnemar
from ..task import CLEAN, Indices, Tested

Scores = npt.NDArray[np.float64]

#: What pictures are drawn of, and the suites that show it, the first that was measured.
SUITES = {"clean": (CLEAN,), "attack": tuple(ATTACKING), "occlusion": ("occlusion",), "corruptions": ("corruptions",)}
#: Images of each direction.
SHOWN = 8


@dataclass(frozen=True)
class Outcomes:
    """The same samples by two methods with the same seeds.

    Attributes:
        suite, column: of the scores, in the per-sample records.
        methods: the baseline and the other.
        seeds: S of them.
        index: (N,) of the samples.
        scores: of each method, (S, N): 1 or 0, or average precision.
        hits: of each method, (S, N): right or wrong.
    """

    suite: str
    column: str
    methods: tuple[str, str]
    seeds: tuple[int, ...]
    index: Indices
    scores: tuple[Scores, Scores]
    hits: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]

    @property
    def saved(self) -> list[int]:
        """For each seed, how many samples the other method alone gets right."""
        return [int(count) for count in (self.hits[1] & ~self.hits[0]).sum(1)]

    @property
    def lost(self) -> list[int]:
        """For each seed, how many samples the baseline alone gets right."""
        return [int(count) for count in (self.hits[0] & ~self.hits[1]).sum(1)]

    @property
    def gain(self) -> Scores:
        """(N,) the other method's score minus the baseline's, summed over the seeds."""
        return np.asarray(self.scores[1].sum(0) - self.scores[0].sum(0))


def suite_of(kind: str, measured: Sequence[str]) -> str | None:
    """The suite that shows a kind of ``SUITES``; None where none was measured."""
    return next((suite for suite in SUITES[kind] if suite in measured), None)


def column_of(suite: str, columns: Columns, score: str) -> str | None:
    """The column of a suite whose samples are shown.

    Of attacks the worst case at the middle of the sizes, of corruptions the first kind at the middle of its severities:
    a rule that looks at no outcome. ``score`` is the column of the clean suite: ``correct`` or ``ap``.
    """
    if suite == CLEAN:
        return score if score in columns else None
    figures = [Figure(suite, column) for column in columns]
    if suite == "corruptions":
        kinds = [figure for figure in figures if figure.severity]
        own = sorted((figure for figure in kinds if figure.kind == kinds[0].kind), key=lambda figure: figure.severity)
    else:
        measure = score if score == "ap" else ""
        sized = [figure for figure in figures if figure.worst and figure.parts.measure == measure and figure.budget]
        own = sorted(sized, key=lambda figure: figure.size or 0)
    return own[len(own) // 2].name if own else None


def outcomes(tested: Tested, kind: str, baseline: Sequence[Run], other: Sequence[Run]) -> Outcomes:
    """Align the records of two methods, with the same seeds in the same order, for one ``kind`` of ``SUITES``.

    Raises:
        FeatmaskError: nothing of the kind was measured in all of them, or on different samples.
    """
    runs = (*baseline, *other)
    suite = suite_of(kind, [name for name in runs[0].samples if all(name in run.samples for run in runs)])
    column = None if suite is None else column_of(suite, runs[0].samples[suite], tested.score_column)
    if suite is None or column is None or any(column not in run.samples[suite] for run in runs):
        raise FeatmaskError(f"{kind}: no outcomes of single samples were measured in all runs")
    index = runs[0].samples[suite]["index"]
    if any(not np.array_equal(index, run.samples[suite]["index"]) for run in runs):
        raise FeatmaskError(f"{suite}: the runs were measured on different samples")
    hit = tested.hit if suite == CLEAN else ranking_name(column, tested.hit) if _graded(tested) else column
    first, second = (np.stack([run.samples[suite][column] for run in side]) for side in (baseline, other))
    hits, others = (np.stack([run.samples[suite][hit] > 0.5 for run in side]) for side in (baseline, other))
    methods, seeds = (baseline[0].method, other[0].method), tuple(run.seed for run in baseline)
    scores = first.astype(np.float64), second.astype(np.float64)
    return Outcomes(suite, column, methods, seeds, index, scores, (hits, others))


def extremes(gain: Scores, index: Indices, count: int) -> tuple[Indices, Indices]:
    """Positions of the samples that gain most, and of those that lose most; ties by index, none that stays the same."""

    def largest(values: Scores) -> Indices:
        order = np.lexsort((index, -values))
        return order[values[order] > 0][:count]

    return largest(gain), largest(-gain)


def save_saved(tested: Tested, found: Outcomes, path: str | Path, count: int = SHOWN) -> str:
    """Draw the samples that the other method saves, and those that it loses, ``count`` each; give the caption."""
    baseline, other = found.methods
    sides = extremes(found.gain, found.index, count)
    totals = int((found.gain > 0).sum()), int((found.gain < 0).sum())
    rows = []
    for better, worse, places, total in zip((other, baseline), (baseline, other), sides, totals, strict=True):
        images = [image.permute(1, 2, 0).numpy() for image in tested.images(found.index[places])]
        names = tested.names(found.index[places])
        cells = [
            Cell(enlarged(image), "\n".join([name, *_told(tested, found, int(place))]))
            for image, name, place in zip(images, names, places, strict=True)
        ]
        better_than = _better(tested, found, better, worse)
        rows.append(Row(cells, title=f"{better_than}: {total} of {len(found.index)} {tested.samples}"))
    save_sheet(path, rows)
    return _caption(tested, found, count)


def _graded(tested: Tested) -> bool:
    """Whether a sample has a score beside right and wrong."""
    return tested.score_column != tested.hit


def _better(tested: Tested, found: Outcomes, better: str, worse: str) -> str:
    if _graded(tested):
        return f"{better} has a higher average precision than {worse}"
    if len(found.seeds) == 1:
        return f"{better} is right, {worse} is wrong"
    return f"{better} is right with more seeds than {worse}"


def _told(tested: Tested, found: Outcomes, place: int) -> list[str]:
    """Below an image: what each method made of it."""
    seeds = len(found.seeds)
    totals = {method: scores[:, place].sum() for method, scores in zip(found.methods, found.scores, strict=True)}
    if _graded(tested):
        return [f"{method}: AP {100 * total / seeds:.1f}" for method, total in totals.items()]
    return [f"{method}: {total:g} of {seeds}" for method, total in totals.items()] if seeds > 1 else []


def measured_by(found: Outcomes) -> str:
    """In words, what the outcomes are of."""
    if found.suite == CLEAN:
        return "on the images as they are"
    name = Name.parse(found.column)
    if found.suite == "corruptions":
        return f"under the corruption {name.kind.replace('_', ' ')} of severity {name.severity}"
    if found.suite == "occlusion":
        return f"with a square of {name.size} of the shorter side hidden, in the worst case"
    return f"in the worst case of {ATTACKING[found.suite]} at {name.size}"


def _caption(tested: Tested, found: Outcomes, count: int) -> str:
    baseline, other = found.methods
    n, seeds = len(found.index), ", ".join(map(str, found.seeds))
    saved, lost = (", ".join(map(str, counts)) for counts in (found.saved, found.lost))
    right = "right at Rank-1" if _graded(tested) else "right"
    measure = "average precision" if _graded(tested) else "number of seeds that are right"
    text = [
        f"What {other} saves and what it loses against {baseline}, {measured_by(found)}: {other} alone is {right} on "
        f"{saved} of {n} {tested.samples}, {baseline} alone on {lost} (seed{'s' * (len(found.seeds) > 1)} {seeds}).",
        f"Shown, in both directions alike: up to {count} with the largest difference in the {measure}, ties by index.",
    ]
    if len(found.seeds) == 1:
        p = mcnemar(found.hits[1][0], found.hits[0][0])
        text.insert(1, f"McNemar's exact test for this one pair of models: p = {p:.3g}.")
    if found.suite != CLEAN:
        text.append("The images are shown as they are, not changed.")
    return " ".join(text)
