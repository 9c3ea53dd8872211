"""A data set while it is read: rows that are good, faults that are not, and what both add up to."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...data.folder import SUFFIXES
from .sets import JUNK, Part, ReidSet

PARTS = ("train", "query", "gallery")
#: Layouts where person 0 of the gallery is nobody in particular: an image that is always wrong.
WITH_DISTRACTORS = ("market1501", "dukemtmc", "market", "layumi", "cuhk03np")
#: At the top of a set that is drawn by a program, see ``data.synthetic``.
RENDERED = "RENDERED.json"
#: ``-1_c3s1_000401_03.jpg``: the person, then the camera. From the start of the name: a searched-for pattern would
#: read ``cam1_c2.jpg`` as person 1.
MARKET_NAME = re.compile(r"(-1|\d+)_c(\d+)")


class Fault(NamedTuple):
    """Something that is wrong: its kind (see ``check.KINDS``), the file it is about, and what to know."""

    kind: str
    path: str
    message: str


@dataclass
class Rows:
    """The images of a part, as they come."""

    paths: list[Path] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    cams: list[int] = field(default_factory=list)

    def add(self, path: Path, pid: int, cam: int) -> None:
        """Append an image."""
        self.paths.append(path)
        self.pids.append(pid)
        self.cams.append(cam)

    def part(self) -> Part:
        """The rows as arrays."""
        return Part(tuple(self.paths), np.array(self.pids, dtype=np.int64), np.array(self.cams, dtype=np.int64))


@dataclass
class Draft:
    """What a reader found: all of it, so that a checker can name every fault and not the first alone."""

    name: str
    root: Path
    rows: dict[str, Rows] = field(default_factory=lambda: {part: Rows() for part in PARTS})
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ignored: list[Path] = field(default_factory=list)
    has_cameras: bool = True

    def fault(self, kind: str, path: Path, message: str) -> None:
        """Note something that is wrong with a file."""
        self.faults.append(Fault(kind, str(path), message))

    def images(self, folder: Path) -> Iterator[Path]:
        """List the images of one folder by name: empty ones are faults, and what is no image is ignored."""
        stems: dict[str, str] = {}
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            stem, suffix = os.path.splitext(entry.name)
            if entry.name.startswith(".") or suffix.lower() not in SUFFIXES:
                if not entry.is_dir():
                    self.ignored.append(Path(entry.path))
                continue
            if entry.is_dir():
                continue
            path = Path(entry.path)
            if not self.there(path, entry):
                continue
            first = stems.setdefault(stem.lower(), entry.name)
            if first != entry.name:
                self.fault("doubled", path, f"the same name as {first}; keep one of them")
            yield path

    def there(self, path: Path, entry: os.DirEntry[str] | None = None) -> bool:
        """Whether there is such a file; missing and empty ones are faults."""
        try:
            status = entry.stat() if entry else path.stat()
        except (OSError, ValueError):  # ValueError: a zero byte in a name
            status = None
        if status is None or not stat.S_ISREG(status.st_mode):
            self.fault("missing", path, "named, but there is no such file")
            return False
        if status.st_size == 0:
            self.fault("empty", path, "0 bytes; copy it again")
        return True

    def doubles(self) -> None:
        """Find files that are named twice, for layouts that name files in a list.

        An image that is both a query and in the gallery is no fault where cameras are known: it is dropped as an
        image of the query's own camera. Without cameras it would be found first, always.
        """
        seen: dict[str, list[str]] = {}
        for part in PARTS:
            for path in self.rows[part].paths:
                before = seen.setdefault(os.path.normcase(os.path.normpath(path)), [])
                allowed = self.has_cameras and before == ["query"] and part == "gallery"
                if before and not allowed:
                    self.fault("doubled", path, f"named in {before[0]} and again in {part}")
                before.append(part)

    def finish(self) -> ReidSet:
        """The set as it was read, its notes complete; faults stay here."""
        query, gallery = self.rows["query"].part(), self.rows["gallery"].part()
        absent = np.setdiff1d(query.pids, gallery.pids)
        if absent.size and len(gallery):
            count = int(np.isin(query.pids, absent).sum())
            self.notes.append(
                f"{count} of {len(query)} queries show a person that is not in the gallery; they cannot be scored"
            )
        if any((folder / RENDERED).is_file() for folder in self._homes()):
            self.notes.append("rendered pictures, not photographs")
        train = self.rows["train"].part()
        return ReidSet(self.name, self.root, train, query, gallery, self.has_cameras, tuple(self.notes))

    def _homes(self) -> list[Path]:
        # layumi's form and CUHK03's two variants lie one folder below what a user calls the data set
        nested = self.name in ("layumi", "cuhk03np")
        home = self.root.parent if self.root.is_file() else self.root
        return [home, home.parent] if nested else [home]


def audit(found: ReidSet) -> list[Fault]:
    """Find what makes a whole set useless, however good its files are.

    These are: an empty part, fewer than two persons to learn from, junk where it cannot be, and no query with a right
    gallery image by another camera.
    """
    faults = [
        Fault("part", str(found.root), f"the part {name} has no images")
        for name, part in found.parts.items()
        if not len(part)
    ]
    for name in ("train", "query"):
        part = found.parts[name]
        for row in np.flatnonzero(part.pids == JUNK).tolist():
            faults.append(
                Fault("junk", str(part.paths[row]), f"person -1 is junk: expected in the gallery, not in {name}")
            )
    persons = np.unique(found.train.pids[found.train.pids != JUNK])
    if len(found.train) and persons.size < 2:
        faults.append(
            Fault("persons", str(found.root), f"the part train shows {persons.size} person(s); expected 2 or more")
        )
    if len(found.query) and len(found.gallery) and not scorable(found).any():
        message = "no query has a right gallery image by another camera, so that nothing can be scored"
        if found.has_cameras:
            message += "; for data without cameras use a CSV without the column camid"
        faults.append(Fault("queries", str(found.root), message))
    return faults


def scorable(found: ReidSet) -> npt.NDArray[np.bool_]:
    """Which queries have a right gallery image by another camera, (queries,)."""
    seen: dict[int, set[int]] = {}
    for pid, cam in zip(found.gallery.pids.tolist(), found.gallery.cams.tolist(), strict=True):
        seen.setdefault(pid, set()).add(cam)
    asked = zip(found.query.pids.tolist(), found.query.cams.tolist(), strict=True)
    return np.array([pid != JUNK and bool(seen.get(pid, set()) - {cam}) for pid, cam in asked], dtype=np.bool_)
