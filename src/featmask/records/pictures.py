"""Pictures of a study on disk: a PNG, and beside it a JSON file that says what it shows. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from ..errors import FeatmaskError
from ..utils.files import replacing, write_json
from .file import Record, read_json

#: What is shown, in the order in which a report shows it.
KINDS = ("attention", "saved", "rankings", "masks")
FOLDER = "pictures"


class PictureRecord(Record):
    """What a picture shows: its kind, its caption, and for programs the runs, see :func:`shown`."""

    kind: str
    caption: str
    of: dict[str, Any] = Field({})


@dataclass(frozen=True)
class Picture:
    """One picture: ``kind`` is one of ``KINDS``, ``path`` a PNG file."""

    kind: str
    caption: str
    path: Path


def save(
    folder: str | Path, name: str, kind: str, draw: Callable[[Path], str], of: Mapping[str, Any] | None = None
) -> Picture:
    """Draw a picture into a study's folder; the caption comes second: where it is, the picture is whole.

    Args:
        folder, name, kind: the study's folder, the name of the files, one of ``KINDS``.
        draw: writes a PNG to the path it is given, and gives the caption.
        of: what it shows, as JSON values: whoever finds it again sees by :func:`shown` whether it is out of date.
    """
    if kind not in KINDS:
        raise FeatmaskError(f"expected a picture of {', '.join(KINDS)}, got {kind!r}")
    path = Path(folder) / FOLDER / f"{name}.png"
    path.with_suffix(".json").unlink(missing_ok=True)
    with replacing(path) as beside:
        caption = draw(Path(beside))
    write_json(path.with_suffix(".json"), PictureRecord(kind=kind, caption=caption, of=dict(of or {})).plain())
    return Picture(kind, caption, path)


def shown(folder: str | Path, name: str) -> dict[str, Any] | None:
    """What a picture shows, as :func:`save` was told; None where there is none that is whole."""
    path = Path(folder) / FOLDER / f"{name}.json"
    if not (path.is_file() and path.with_suffix(".png").is_file()):
        return None
    return _described(path).of


def discard(folder: str | Path, name: str) -> None:
    """Remove a picture, if it is there."""
    path = Path(folder) / FOLDER / f"{name}.json"
    path.unlink(missing_ok=True)
    path.with_suffix(".png").unlink(missing_ok=True)


def read(folder: str | Path) -> list[Picture]:
    """The pictures of a study's folder, in the order of ``KINDS``, then by name; one without its PNG is left out."""
    records = {path: _described(path) for path in sorted((Path(folder) / FOLDER).glob("*.json"))}
    found = [Picture(record.kind, record.caption, path.with_suffix(".png")) for path, record in records.items()]
    kept = [picture for picture in found if picture.kind in KINDS and picture.path.is_file()]
    return sorted(kept, key=lambda picture: KINDS.index(picture.kind))


def _described(path: Path) -> PictureRecord:
    return read_json(path, PictureRecord, "delete it to have the picture drawn again")
