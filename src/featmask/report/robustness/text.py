"""The report of a robustness evaluation as Markdown, for a pull request or a wiki."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..markdown import fenced, grid, safe
from . import corrupted, tables
from .checks import checks
from .corrupted import Heat
from .glance import glance, pairs
from .page import caution
from .read import Subject
from .run import Told, cautions, told
from .tables import Cell, Table
from .verdict import verdict_lines


def markdown(subjects: Sequence[Subject], root: Path, title: str) -> str:
    """The verdict first, then the tables, the checks, and what was run."""
    several = len(subjects) > 1
    lines = [f"# {safe(title)}", ""]
    for subject in subjects:
        first, *more = verdict_lines(subject, subjects)
        name = f"{safe(subject.name)}: " if several else ""
        lines += [f"**{name}{safe(first)}**", "", *(f"- {safe(line)}" for line in more), ""]
    lines += [caution(subjects), ""]
    found = [glance(subjects), pairs(subjects), *tables.attack_tables(subjects), tables.flip_table(subjects)]
    found += corrupted.compared(subjects)
    for table in found:
        lines += _table(table)
    for heat in corrupted.heats(subjects):
        lines += _heat(heat)
    for table in (tables.square_table(subjects), tables.calibration_table(subjects), tables.bin_table(subjects)):
        lines += _table(table)
    lines += ["## Can these figures be trusted?", ""]
    for subject in subjects:
        lines += _checks(subject, several)
    lines += ["## What was run", "", *(f"- {safe(line)}." for line in cautions(subjects)), ""]
    for subject in subjects:
        lines += _run(told(subject, root))
    return "\n".join(lines)


def _table(table: Table | None) -> list[str]:
    if table is None:
        return []
    named = any(name for name, _ in table.groups)
    heads = ["Model"] * named + [table.first, *map(_cell, table.heads)]
    body = []
    for name, lines in table.groups:
        for line in lines:
            first = line.name + (f" ({line.small})" if line.small else "")
            body.append([name] * named + [first, *map(_cell, line.cells)])
    return [f"## {safe(table.title)}", "", *grid(heads, body, left=1 + named), ""]


def _cell(cell: Cell) -> str:
    small = cell.small.replace("\n", "; ")
    return f"{cell.text} ({small})" if cell.text and small else cell.text + small


def _heat(heat: Heat) -> list[str]:
    body = []
    for group, mean, rows in heat.groups:
        body += [[group, name, *(field.text for field in fields)] for name, fields in rows]
        body.append([group, "mean", *[""] * len(heat.severities), mean.text])
    body.append(["all", "mean", *[""] * len(heat.severities), heat.mean.text])
    clean = f", without corruption {heat.clean}" if heat.clean else ""
    lines = [f"## Corruptions: {safe(heat.subject)}, {safe(heat.suite)}", ""]
    lines += grid(["Group", "Corruption", *(f"severity {level}" for level in heat.severities), "mean"], body, left=2)
    return [*lines, "", f"Right, %, n = {heat.n:,}{clean}. {safe(heat.notes)}", ""]


def _checks(subject: Subject, several: bool) -> list[str]:
    body = [
        [f"{check.sign} {check.verdict}", group, check.title, check.figure, check.why]
        for group, own in checks(subject.doctor)
        for check in own
    ]
    lines = [f"### {safe(subject.name)}", ""] if several else []
    lines += ["" if body else "No checks were run."]
    return [*lines, *(grid(["verdict", "group", "check", "figure", "why"], body, left=5) if body else []), ""]


def _run(one: Told) -> list[str]:
    lines = [f"### {safe(one.name)}", ""]
    for command in one.commands:
        lines += [*fenced(command), ""]
    lines += [f"- {safe(key)}: {safe(value)}" for key, value in one.facts]
    for name, text, attacks in one.suites:
        lines += [f"- {safe(name)}: {safe(text)}", *(f"  - {safe(attack)}" for attack in attacks)]
    lines += [f"- {safe(key)}: {safe(value)}" for key, value in one.environment.items()]
    return [*lines, "", *([*fenced(one.recipe), ""] if one.recipe else [])]
