"""The report as Markdown, for a pull request or a wiki."""

from __future__ import annotations

from collections.abc import Sequence

from ...records.figures import Figure
from ..markdown import fenced, grid, safe
from ..values import merged, outline
from .blocks import Block, blocks
from .notes import caution, statements, suite_text, suites, warnings
from .retrieval import data_name, every_suite, notices, rules
from .rows import Field, differences, rows
from .tables import Study
from .verdicts import metric_lines, verdict_lines


def markdown(study: Study, command: str, title: str) -> str:
    """The verdict first, then the tables, then what was run."""
    first, *more = verdict_lines(study)
    others = [m for m in study.metrics if m not in study.headline and not m.retrieval and not m.severity]
    said = (f"> **{safe(line)}.**" for line in notices(every_suite(study)))
    lines = [f"# {safe(title)}", "", *said, "", f"**{safe(first)}**", ""]
    bullets = [*more, *(line.sentence for line in metric_lines(study))]
    lines += [f"- {safe(line)}" for line in bullets] + [""] * bool(bullets)
    if caution(study):
        lines += [caution(study), ""]
    if study.headline:
        lines += ["## Results", "", *_table(study, study.headline), ""]
        tied = "; ☆: cannot be told from it" if study.challengers else ""
        lines += [f"Mean over seeds ± half the 95 % interval (two seeds or more); the best mean is bold{tied}.", ""]
    scored = [f"Data: {data_name(study)}"] * bool(data_name(study))
    scored += [f"Scored: {line}" for line in rules(suites(study))]
    lines += [f"- {safe(line)}." for line in scored] + [""] * bool(scored)
    if found := differences(study, study.headline):
        head = ["method", "figure", "seeds", "difference", "95 % interval", "effect", "could show", "sign-flip p"]
        body = [
            [d.method, d.metric, str(d.seeds), d.size, d.interval, d.effect, d.least, d.sign_flip, d.adjusted, d.said]
            for d in found
        ]
        lines += [f"## Differences to {safe(study.baseline)}", ""]
        lines += grid([*head, "adjusted p", "verdict"], body, left=2)
        lines += ["", "Paired over common seeds; percentage points, losses as they are.", ""]
    for block in blocks(study):
        lines += [f"## {safe(block.title)}", "", *_suite_table(block), ""]
    if others:
        lines += ["## The remaining figures", "", *_table(study, others), ""]
    lines += ["## How to read this", "", *(f"- {safe(line)}" for line in statements(study))]
    lines += [f"- {safe(line)}." for line in warnings(study)]
    lines += ["", "## What was run", "", *fenced(command), ""]
    lines += [f"- {safe(suite.name)}: {safe(suite_text(suite))}" for suite in suites(study)]
    lines += [f"- {safe(key)}: {safe(value)}" for key, value in merged(run.environment for run in study.runs).items()]
    lines += ["", *fenced(outline(study.runs[0].recipe.every)), ""]
    return "\n".join(lines)


def _table(study: Study, metrics: Sequence[Figure]) -> list[str]:
    head = ["method", "seeds", *(f"{m.title}{' (%)' if m.scale != 1 else ''}" for m in metrics)]
    body = [[r.method, str(r.seeds), *map(_cell, r.fields), r.dropped, r.seconds] for r in rows(study, metrics)]
    return grid([*head, "dropped (%)", "s / epoch"], body, left=1, ours=range(2, 2 + len(metrics)))


def _suite_table(block: Block) -> list[str]:
    attacked = any(attack for attack, _ in block.groups)
    head = ["attack"] * attacked + ["method", "seeds", *(f"{name} (%)" for name in block.heads)]
    body = [
        [attack] * attacked + [line.method, str(line.seeds), *map(_cell, line.fields)]
        for attack, lines in block.groups
        for line in lines
    ]
    return grid(head, body, left=1 + attacked, ours=range(2 + attacked, len(head)))


def _cell(field: Field) -> str:
    return (f"**{field.text}**" if field.best else field.text) + " ☆" * field.tied + field.mark
