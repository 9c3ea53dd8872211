"""All models at a glance: a row per model, a column per question; and how two of them differ on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ...records.figures import Figure, show
from ...records.titles import NORMS
from ...stats import mcnemar
from .checks import trust
from .figures import Share, budgets, clean_share, corrupted_suites, main_budget, norms, sides, worst, worst_square
from .read import Subject
from .strength import Strength, strength
from .tables import Cell, Line, Table, number, points, share_cell

#: Head and, of a model, the share in question, and how strong the attacks behind it are.
Question = tuple[Cell, Callable[[Subject], Share | None], Callable[[Subject], Strength | None]]


def questions(subjects: Sequence[Subject]) -> list[Question]:
    """Right before, at the main size of each norm and of squares."""
    found: list[Question] = []
    if any(clean_share(subject) for subject in subjects):
        found.append((Cell("Not attacked", "%"), clean_share, lambda _: None))
    for norm in norms(*subjects):
        eps = main_budget(subjects, norm)
        if eps is None:
            continue
        text = next(budgets(subject, norm)[eps] for subject in subjects if worst(subject, norm, eps) is not None)
        head = Cell("Worst case", f"{NORMS[norm]} {text}, %")
        found.append((head, partial(worst, norm=norm, eps=eps), partial(strength, norm=norm, eps=eps)))
    if squares := sides(*subjects):
        side = squares[len(squares) // 2]
        head = Cell("Worst square", f"{float(100 * side):g} % of the side, %")
        found.append((head, partial(worst_square, square=side), lambda _: None))
    return found


def glance(subjects: Sequence[Subject]) -> Table:
    """A row per model."""
    asked = questions(subjects)
    corrupted = list(dict.fromkeys(name for subject in subjects for name in corrupted_suites(subject)))
    heads = [head for head, _, _ in asked]
    heads += [Cell("Corrupted, mean", "%" if name == "corruptions" else f"{name}, %") for name in corrupted]
    heads += [Cell("Calibration error", "%, lower is better"), Cell("Checks")]
    lines = []
    for subject in subjects:
        cells = []
        for _, ask, of in asked:
            share, behind = ask(subject), of(subject)
            parts = [share.extent, f"n = {share.n:,}", behind.label if behind else ""] if share else []
            cells.append(Cell(share_cell(share).text, "\n".join(filter(None, parts))))
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
    if one.interval is None or base.interval is None:
        return Cell(text)
    p = mcnemar(one.right.astype(np.int64), base.right.astype(np.int64))
    return Cell(text, "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}")
