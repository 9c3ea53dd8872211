"""One page, one text, one table: written from runs, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files import write_text
from ..results import Run
from .html import page
from .markdown import markdown
from .rows import table_csv
from .tables import aggregate

__all__ = ["write_report"]


def write_report(
    root: str | Path,
    runs: Sequence[Run],
    *,
    command: str,
    title: str | None = None,
    images: Mapping[str, str | Path] | None = None,
    rankings: Mapping[str, str | Path] | None = None,
    baseline: str | None = None,
) -> dict[str, Path]:
    """Write ``report.html`` (self-contained), ``report.md`` and ``table.csv`` into ``root``.

    Args:
        root: a folder; links to the runs' files are relative to it.
        runs: finished runs, in the order in which methods are to be shown.
        command: what made them, for the reader who wants to repeat it.
        title: of the page; default: the recipe's name.
        images: caption -> PNG file of masks that is embedded.
        rankings: caption -> PNG file of ranked lists (``save_rankings``) that is embedded.
        baseline: what the others are compared with; default: the first method.

    Returns:
        File name -> path.

    Raises:
        FeatmaskError: no runs, two of one method and seed, an unknown baseline, or an image that is no PNG file.
            Nothing is written then.
    """
    root = Path(root)
    study = aggregate(runs, baseline)
    heading = title or str(study.runs[0].recipe.get("name") or "comparison")
    # all is made before any is written: a mistake leaves the last report as it was
    texts = {
        "report.html": page(study, root, command, heading, images or {}, rankings or {}),
        "report.md": markdown(study, command, heading),
        "table.csv": table_csv(study),
    }
    for name, text in texts.items():
        write_text(root / name, text)
    return {name: root / name for name in texts}
