"""The page across studies: counts first, then every difference with its interval, as a table and as a forest plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from ...drawing.svg import INK, PANEL, drawn, look, panel, plain, sign
from ..layout import rendered
from ..markdown import fenced, grid, safe
from ..study.tables import Study
from .effects import Aspect, Compared, Member, aspects, shared_methods

TITLE = "All studies"


def sentences(found: Sequence[Aspect], methods: Sequence[str]) -> list[str]:
    """One line per method: in how many studies it is better, and worse."""
    lines = []
    for method in methods:
        counts = [(_within(aspect.title), aspect.count(method)) for aspect in found]
        parts = [f"{title} better in {n.better}, worse in {n.worse} {n.total}" for title, n in counts if n.of]
        if parts:
            lines.append(f"{method}, better or worse than the baseline: {'; '.join(parts)}.")
    return lines


def _within(title: str) -> str:
    """A title within a sentence."""
    short = title.partition(":")[0]
    return short[:1].lower() + short[1:] if short[1:2].islower() and not short.startswith("Auto") else short


def notes(members: Sequence[Member], found: Sequence[Aspect]) -> list[str]:
    """How all of this is to be read."""
    verdicts = sum(aspect.count(method).of for aspect in found for method in aspect.rows)
    lines = [
        "Each difference is to the baseline of its own study, paired over that study's seeds; studies are not pooled: "
        "they differ in data, network and training. A count is no test.",
        f"{verdicts} differences stand here. Were there none at all, about {verdicts / 20:.1f} of them would still be "
        "called better or worse; † marks those that do not stay after correction within their study.",
        "A name may stand for other options in another study: see its page.",
    ]
    shared = shared_methods(members)
    every = dict.fromkeys(method for member in members for method in member.study.challengers)
    once = [method for method in every if method not in shared]
    if once:
        lines.append(f"Compared in one study alone, and shown there: {', '.join(once)}.")
    return lines


def across_page(members: Sequence[Member], command: str) -> str:
    """HTML of the page."""
    methods, found = shared_methods(members), aspects(members)
    return rendered(
        "across.html.j2",
        title=TITLE,
        version=str(members[0].study.runs[0].environment.get("featmask", "")),
        members=members,
        extent=extent,
        methods=methods,
        aspects=found,
        sentences=sentences(found, methods),
        notes=notes(members, found),
        legend=[(member.name, *sign(i)) for i, member in enumerate(members)],
        panels={aspect.name: drawn(partial(_forest, members, aspect), f"forest-{aspect.name}") for aspect in found},
        command=command,
    )


def across_markdown(members: Sequence[Member], command: str) -> str:
    """The same as Markdown, without the pictures."""
    methods, found = shared_methods(members), aspects(members)
    lines = [f"# {TITLE}", ""]
    for m in members:
        about = f"{safe(extent(m.study))}. {safe(m.note)}".rstrip()
        lines.append(f"- [{safe(m.name)}]({m.page.replace('.html', '.md')}): {about}")
    lines += [""] + [f"- {safe(line)}" for line in sentences(found, methods)]
    for aspect in found:
        head = ["method", *(f"{m.name}: {metric.title}" for m, metric, _ in aspect.members), "better / worse"]
        body = [
            [method, *(_cell(own.get(m.name)) for m, _, _ in aspect.members), aspect.count(method).text]
            for method, own in aspect.rows.items()
        ]
        lines += ["", f"## {aspect.title}", "", *grid(head, body, left=1)]
    lines += ["", "## How to read this", "", *(f"- {safe(line)}" for line in notes(members, found)), ""]
    return "\n".join([*lines, *fenced(command), ""])


def extent(study: Study) -> str:
    """How much was compared with what."""
    others, seeds = len(study.challengers), study.most_seeds
    methods = f"{others} method{'' if others == 1 else 's'} against {study.baseline}"
    return f"{methods}, {'one seed' if seeds == 1 else f'up to {seeds} seeds'}"


def _cell(found: Compared | None) -> str:
    if found is None:
        return "–"
    difference, interval = found.texts
    return f"{found.cell.sign} {difference}" + (f" ({interval})" if interval else "")


def _forest(members: Sequence[Member], aspect: Aspect, make: Any) -> tuple[Any, str]:
    """A block per method, in it a line per study."""
    lines = [(method, found) for method, own in aspect.rows.items() for found in own.values()]
    better = "lower" if any(metric.lower_is_better for _, metric, _ in aspect.members) else "higher"
    size = (1.1 * PANEL, 0.19 * len(lines) + 0.1 * len(aspect.rows) + 0.85)
    figure, ax = panel(make, "", f"difference to the baseline, points; {better} is better", size=size, grid="x")
    ax.axvline(0, color=INK, lw=1)
    y, ticks = 0.0, []
    for method, own in aspect.rows.items():
        first = y
        for found in own.values():
            colour, marker = look([member.name for member in members].index(found.member.name))
            mean, low, high = (value * found.metric.scale for value in found.paired.interval)
            if not math.isnan(low):
                ax.plot([low, high], [y, y], color=colour, lw=1.8, alpha=0.65)
            ax.plot([mean], [y], marker, color=colour, ms=6, mew=0)
            y += 1
        ticks.append(((first + y - 1) / 2, method))
        y += 0.6
        ax.axhline(y - 0.8, color=INK, lw=0.6, alpha=0.12)
    ax.set_yticks([place for place, _ in ticks], [plain(method) for _, method in ticks])
    ax.set_ylim(y - 0.8, -0.8)
    ax.tick_params(axis="y", length=0)
    reach = max(1.0, *map(abs, ax.get_xlim()))
    ax.set_xlim(-reach, reach)
    ax.locator_params(axis="x", nbins=7)
    return figure, f"{aspect.title}: difference to the baseline with its 95 % interval, of every method and study"
