"""One page, one text, one table: written from the records of robustness evaluations, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import FeatmaskError
from ...records.figures import Figure
from ...utils.files import write_text
from ..values import counted_range, csv_text, enumerated, exact
from .checks import checks
from .figures import budgets, norms, worst
from .page import page
from .read import Subject, read_subjects
from .text import markdown

COLUMNS = ["model", "suite", "metric", "norm", "size", "n", "value", "low95", "high95", "note"]


def write_robustness(folders: Sequence[Path], out: Path, *, title: str | None = None) -> dict[str, Path]:
    """Write ``robustness.html`` (self-contained), ``robustness.md`` and ``robustness.csv`` into ``out``.

    Args:
        folders: of ``featmask evaluate --save``: ``subject.json``, ``eval/*.json`` with their samples, and the
            doctor's ``doctor.json``. Any of these may be missing, but not all. Several models are set beside each
            other; differences are to the first.
        out: a folder; links to the records are relative to it.
        title: of the page; default: the models' names.

    Returns:
        File name -> path.

    Raises:
        FeatmaskError: no folders, one twice, one without records, or a record that cannot be read. Nothing is written
            then.
    """
    if isinstance(folders, (str, Path)):
        raise FeatmaskError(f"expected a list of folders, got {folders!r}")
    root, subjects = Path(out), read_subjects(folders)
    heading = title or _title(subjects)
    # all is made before any is written: a mistake leaves the last report as it was
    texts = {
        "robustness.html": page(subjects, root, heading),
        "robustness.md": markdown(subjects, root, heading),
        "robustness.csv": table_csv(subjects),
    }
    for name, text in texts.items():
        write_text(root / name, text)
    return {name: root / name for name in texts}


def _title(subjects: Sequence[Subject]) -> str:
    names = [subject.name for subject in subjects]
    return f"Robustness of {enumerated(names) if len(names) < 4 else f'{len(names)} models'}"


def table_csv(subjects: Sequence[Subject]) -> str:
    """Every figure in full precision, the worst case over suites, and a line per check."""
    return csv_text(COLUMNS, _lines(subjects))


def _lines(subjects: Sequence[Subject]) -> Iterator[list[object]]:
    for subject in subjects:
        for name, suite in subject.suites.items():
            for key, value in suite.metrics.items():
                figure = Figure(name, key)
                _, low, high = counted_range(figure, value, suite.n) or (None, None, None)
                figures = [suite.n, *map(exact, (value, low, high))]
                yield [subject.name, name, key, figure.norm, figure.budget, *figures, ""]
        for norm in norms(subject):
            for eps, text in budgets(subject, norm).items():
                share = worst(subject, norm, eps)
                if share is not None:
                    _, low, high = share.interval or (None, None, None)
                    figures = [share.n, *map(exact, (share.value, low, high))]
                    yield [subject.name, " ".join(share.suites), "worst case", norm, text, *figures, ""]
        for group, own in checks(subject.doctor):
            for check in own:
                note = f"{check.verdict}: {check.figure}"
                yield [subject.name, "doctor", check.name, "", "", "", "", "", "", f"{group}: {note}"]
