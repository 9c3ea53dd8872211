"""Pages made again from records alone: one study's, or each study's and one across them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...errors import FeatmaskError
from ...records.comparison import COMPARISON
from ...utils.files import write_text
from ..study.html import Page
from ..study.tables import Study, aggregate
from ..study.write import write_study
from .archive import pack
from .effects import Member, across_csv
from .page import across_markdown, across_page
from .studies import Found, find_studies, folder_names

UNKNOWN = "not recorded: these runs were trained one by one"


def rebuild(
    places: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    methods: Sequence[str] | None = None,
    title: str | None = None,
    packed: str | Path | None = None,
    command: str = "featmask.report.rebuild(...)",
) -> dict[str, Path]:
    """Write the pages of all studies below some folders or in zip files.

    One study: as ``write_report``, into ``out`` (default: its folder, or beside the zip file a folder of its name).
    Several: each into a folder of ``out``, and ``index.html``, ``index.md`` and ``index.csv`` across them. The same
    records and the same command give the same bytes.

    Args:
        places: folders above runs, or zip files.
        out: a folder; of several studies in several places there is no default.
        methods: only these, in this order; the first is the baseline.
        title: of the page of a single study.
        packed: a zip file that the records of all studies are written to.
        command: that makes the pages.

    Returns:
        File name, within ``out``, -> path.

    Raises:
        FeatmaskError: no place, a place without finished runs, no ``out`` where it is needed, a title for several
            studies, or records that cannot be read.
    """
    folders = [Path(place) for place in places]
    if not folders:
        raise FeatmaskError("expected one or more folders of runs, got none")
    with find_studies(folders, methods) as studies:
        target = Path(out) if out is not None else _default(folders, studies)
        # before anything is written: a study that cannot be laid out leaves all pages as they were
        figures = [aggregate(study.runs) for study in studies]
        if len(studies) == 1:
            written = _write(studies[0], figures[0], target, title, command)
        elif title is not None:
            raise FeatmaskError(f"a title is for one study; these are {len(studies)}")
        else:
            written = _write_all(studies, figures, target, command)
        if packed is not None:
            files = {name: path for study in studies for name, path in study.files.items()}
            written[Path(packed).name] = pack(packed, files)
        return written


def _default(places: Sequence[Path], studies: Sequence[Found]) -> Path:
    if len(places) > 1 and len(studies) > 1:
        raise FeatmaskError("these are several studies in several places: say by --out where their pages go")
    if studies[0].archive is not None:
        return studies[0].archive.with_suffix("")
    return studies[0].folder if len(studies) == 1 else places[0]


def _write(found: Found, study: Study, root: Path, title: str | None, command: str, index: str = "") -> dict[str, Path]:
    record = COMPARISON.find(found.folder)
    made_by = (record and record.command) or UNKNOWN
    about = Page(root, title or study.title, made_by, command, archive=found.archive, index=index)
    return write_study(study, about, found.folder)


def _write_all(studies: Sequence[Found], figures: Sequence[Study], root: Path, command: str) -> dict[str, Path]:
    written: dict[str, Path] = {}
    members = []
    for name, found, study in zip(folder_names(studies), studies, figures, strict=True):
        own = _write(found, study, root / name, name, command, "../index.html")
        written |= {f"{name}/{file}": path for file, path in own.items()}
        note = " ".join((study.runs[0].recipe.note or "").split())
        members.append(Member(name, f"{name}/report.html", study, note))
    texts = {
        "index.html": across_page(members, command),
        "index.md": across_markdown(members, command),
        "index.csv": across_csv(members),
    }
    for file, text in texts.items():
        write_text(root / file, text)
    return {file: root / file for file in texts} | written
