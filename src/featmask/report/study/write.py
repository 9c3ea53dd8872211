"""One page, one text and two tables: written from runs, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...records import pictures as gallery
from ...records.comparison import COMPARISON, ComparisonRecord
from ...records.run import Run
from ...records.tuning import TUNING
from ...utils.files import write_text
from ..markdown import fenced, grid, safe
from .html import Page, page
from .latex import latex_table
from .rows import table_csv
from .tables import Study, aggregate
from .text import markdown
from .tuned import tuning_text


def write_report(
    root: str | Path,
    runs: Sequence[Run],
    *,
    command: str,
    title: str | None = None,
    baseline: str | None = None,
    source: str | Path | None = None,
) -> dict[str, Path]:
    """Write ``report.html`` (self-contained), ``report.md``, ``table.csv`` and ``table.tex`` into ``root``.

    Args:
        root: a folder; links to the runs' files are relative to it.
        runs: finished ones, in the order in which methods are to be shown.
        command: what made them, for the reader who wants to repeat it.
        title, baseline: of the page, default: the recipe's name; of the comparison, default: the first method.
        source: the study's folder, with pictures, ``comparison.json`` and ``tuning.json``, of which any may be missing;
            default: ``root``.

    Returns:
        File name -> path.

    Raises:
        FeatmaskError: no runs, two of one method and seed, an unknown baseline, or a record or picture that cannot be
            read. Nothing is written then.
    """
    study = aggregate(runs, baseline)
    about = Page(Path(root), title or study.title, command)
    return write_study(study, about, Path(root if source is None else source))


def write_study(study: Study, about: Page, source: Path) -> dict[str, Path]:
    """The same for figures that were collected before; records and pictures are read from ``source``."""
    record = COMPARISON.find(source) or ComparisonRecord()
    about = replace(about, record=record, tuning=TUNING.find(source), gallery=gallery.read(source))
    # all is made before any is written: a mistake leaves the last report as it was
    texts = {
        "report.html": page(study, about),
        "report.md": markdown(study, about.command, about.title) + closing(about),
        "table.csv": table_csv(study),
        "table.tex": latex_table(study, about.title) + "\n",
    }
    for name, text in texts.items():
        write_text(about.root / name, text)
    return {name: about.root / name for name in texts}


def closing(about: Page) -> str:
    """What the Markdown says beyond the figures: failed runs, the search for options, what made the page anew."""
    lines: list[str] = []
    if about.record.failed:
        lines += ["## Runs that failed", ""]
        lines += [f"- {safe(run)}: {safe(why)}" for run, why in about.record.failed.items()]
    if about.tuning is not None:
        body = [
            [method, str(entry.best or "") or "nothing to choose", entry.searched or "–",
             "–" if entry.value is None else f"{100 * entry.value:.1f}", str(len(entry.finished))]
            for method, entry in about.tuning.methods.items()
        ]  # fmt: skip
        head = ["method", "chosen", "searched", "best (%)", "trials"]
        lines += [""] * bool(lines) + ["## How options were chosen", "", safe(tuning_text(about.tuning)), ""]
        lines += grid(head, body, left=3)
    if about.rebuilt:
        lines += [""] * bool(lines) + ["## What made this page anew", "", *fenced(about.rebuilt)]
    return "\n".join(["", *lines, ""]) if lines else ""
