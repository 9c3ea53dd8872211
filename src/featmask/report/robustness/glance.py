"""All models at a glance: a row a model, a column a question; and how two of them differ on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial

import numpy as np

from ...records.figures import Figure, show
from ...records.titles import NORMS
from ...stats import mcnemar
from .checks import trust
from .figures import Share, clean_share, corrupted_suites, main_budget, region_metrics, worst, worst_square
from .read import Subject
from .strength import strength
from .tables import Cell, Line, Table, number, points, share_cell
from .verdict import all_norms, budget_text

#: Head and, of a model, the share in question.
Question = tuple[Cell, Callable[[Subject], Share | None], Callable[[Subject], str]]


def questions(subjects: Sequence[Subject]) -> list[Question]:
    """Right before, at the main size of each norm and of squares."""
    listed = list(subjects)
    found: list[Question] = []
    if any(clean_share(subject) for subject in listed):
        found.append((Cell("Not attacked", "%"), clean_share, lambda _: ""))
    for norm in all_norms(listed):
        eps = main_budget(listed, norm)
        if eps is None:
            continue
        text = next(budget_text(subject, norm, eps) for subject in listed if worst(subject, norm, eps) is not None)
        head = Cell("Worst case", f"{NORMS[norm]} {text}, %")
        found.append((head, partial(worst, norm=norm, eps=eps), partial(_label, norm=norm, eps=eps)))
    sides = sorted({m.square for subject in listed for m in region_metrics(subject) if m.square is not None})
    if sides:
        side = sides[len(sides) // 2]
        head = Cell("Worst square", f"{float(100 * side):g} % of the side, %")
        found.append((head, partial(worst_square, square=side), lambda _: ""))
    return found


def _label(subject: Subject, norm: str, eps: Fraction) -> str:
    return strength(subject, norm, eps).label


def glance(subjects: Sequence[Subject]) -> Table:
    """A row a model."""
    asked = questions(subjects)
    corrupted = list(dict.fromkeys(name for subject in subjects for name in corrupted_suites(subject)))
    heads = [head for head, _, _ in asked]
    heads += [Cell("Corrupted, mean", "%" if name == "corruptions" else f"{name}, %") for name in corrupted]
    heads += [Cell("Calibration error", "%, lower is better"), Cell("Checks")]
    lines = []
    for subject in subjects:
        cells = []
        for _, ask, label in asked:
            share = ask(subject)
            cell = share_cell(share)
            parts = [cell.small, f"n = {share.n:,}" if share else "", label(subject) if share else ""]
            cells.append(Cell(cell.text, "\n".join(part for part in parts if part)))
        for name in corrupted:
            suite = subject.suites.get(name)
            cells.append(Cell() if suite is None else Cell(number(suite.metrics.get("corrupted")), f"n = {suite.n:,}"))
        clean = subject.suites.get("clean")
        cells.append(Cell(show(Figure("clean", "ece"), None if clean is None else clean.metrics.get("ece"))))
        told = trust(subject.doctor)
        cells.append(Cell(f"{told.sign} {told.short}"))
        lines.append(Line(subject.name, cells))
    return Table("At a glance", heads, [("", lines)], "Model")


def pairs(subjects: Sequence[Subject]) -> Table | None:
    """Differences to the first model where both were measured on the same samples, with McNemar's exact test."""
    asked = questions(subjects)
    lines = []
    for subject in subjects[1:]:
        cells = []
        for _, ask, _ in asked:
            one, base = ask(subject), ask(subjects[0])
            cells.append(Cell() if one is None or base is None or one.of != base.of else _difference(one, base))
        lines.append(Line(subject.name, cells))
    if not any(cell.text != "–" for line in lines for cell in line.cells):
        return None
    heads = [Cell(head.text, head.small.removesuffix("%").rstrip(", ") or "") for head, _, _ in asked]
    return Table(f"Difference to {subjects[0].name}, points", heads, [("", lines)], "Model")


def _difference(one: Share, base: Share) -> Cell:
    text = points(one.value, base.value)
    if one.low is None or base.low is None:
        return Cell(text)
    p = mcnemar(one.right.astype(np.int64), base.right.astype(np.int64))
    return Cell(text, "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}")
