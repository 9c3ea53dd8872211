"""A data set while it is read: its images, its faults, and the set that they make."""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...data.folder import SUFFIXES
from .sets import JUNK, Part, ReidSet

PARTS = ("train", "query", "gallery")
#: Layouts where person 0 of the gallery marks a distractor: an image that is always wrong.
WITH_DISTRACTORS = ("market1501", "dukemtmc", "market", "layumi", "cuhk03np")
#: At the top of a set that is drawn by a program, see ``reid.synthetic``.
RENDERED = "RENDERED.json"
#: ``-1_c3s1_000401_03.jpg``: the person, then the camera. From the start of the name: a searched-for pattern would
#: read ``cam1_c2.jpg`` as person 1.
MARKET_NAME = re.compile(r"(-1|\d+)_c(\d+)")


class Fault(NamedTuple):
    """Something that is wrong: its kind (see ``check.KINDS``), the file it is about, and what to know."""

    kind: str
    path: str
    message: str


#: An image, its person and its camera.
Row = tuple[Path, int, int]


@dataclass
class Scan:
    """All that a reader finds, so that a checker can name every fault and not only the first."""

    name: str
    root: Path
    rows: dict[str, list[Row]] = field(default_factory=lambda: {part: [] for part in PARTS})
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
            path = Path(entry.path)
            if entry.is_dir():
                continue
            if entry.name.startswith(".") or suffix.lower() not in SUFFIXES:
                self.ignored.append(path)
                continue
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
            for path, _, _ in self.rows[part]:
                before = seen.setdefault(os.path.normcase(os.path.normpath(path)), [])
                allowed = self.has_cameras and before == ["query"] and part == "gallery"
                if before and not allowed:
                    self.fault("doubled", path, f"named in {before[0]} and again in {part}")
                before.append(part)

    def finish(self) -> ReidSet:
        """The set as it was read, its notes complete; faults stay here."""
        train, query, gallery = (_part(self.rows[name]) for name in PARTS)
        absent = np.setdiff1d(query.pids, gallery.pids)
        if absent.size and len(gallery):
            count = int(np.isin(query.pids, absent).sum())
            self.notes.append(
                f"{count} of {len(query)} queries show a person that is not in the gallery; they cannot be scored"
            )
        if any((folder / RENDERED).is_file() for folder in self._homes()):
            self.notes.append("rendered pictures, not photographs")
        return ReidSet(self.name, self.root, train, query, gallery, self.has_cameras, tuple(self.notes))

    def _homes(self) -> list[Path]:
        home = self.root.parent if self.root.is_file() else self.root
        # layumi's form and CUHK03's two variants lie one folder below what a user calls the data set
        return [home, home.parent] if self.name in ("layumi", "cuhk03np") else [home]


def _part(rows: list[Row]) -> Part:
    pids, cams = (np.array([row[column] for row in rows], dtype=np.int64) for column in (1, 2))
    return Part(tuple(path for path, _, _ in rows), pids, cams)


def audit(data: ReidSet) -> list[Fault]:
    """Find what makes a whole set useless, however good its files are.

    These are: an empty part, fewer than two persons to learn from, junk where it cannot be, and no query with a right
    gallery image by another camera.
    """
    root = str(data.root)
    empty = [name for name, part in data.parts.items() if not len(part)]
    faults = [Fault("part", root, f"the part {name} has no images") for name in empty]
    for name, part in (("train", data.train), ("query", data.query)):
        message = f"person -1 is junk: expected in the gallery, not in {name}"
        faults += [Fault("junk", str(part.paths[row]), message) for row in np.flatnonzero(part.pids == JUNK)]
    persons = np.unique(data.train.pids[data.train.pids != JUNK])
    if len(data.train) and persons.size < 2:
        faults.append(Fault("persons", root, f"the part train shows {persons.size} person(s); expected 2 or more"))
    if len(data.query) and len(data.gallery) and not scorable(data).any():
        message = "no query has a right gallery image by another camera, so that nothing can be scored"
        if data.has_cameras:
            message += "; for data without cameras use a CSV without the column camid"
        faults.append(Fault("queries", root, message))
    return faults


def scorable(data: ReidSet) -> npt.NDArray[np.bool_]:
    """Which queries have a right gallery image by another camera, (queries,)."""
    seen = defaultdict[int, set[int]](set)
    for pid, cam in zip(data.gallery.pids.tolist(), data.gallery.cams.tolist(), strict=True):
        seen[pid].add(cam)
    queries = zip(data.query.pids.tolist(), data.query.cams.tolist(), strict=True)
    return np.array([pid != JUNK and bool(seen[pid] - {cam}) for pid, cam in queries], dtype=np.bool_)
