"""A checker of re-identification data sets: what they hold, and everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FeatmaskError
from .contents import decoded, identical
from .layouts import read_scan
from .published import PUBLISHED, counts, known_as
from .scan import Fault, audit
from .sets import JUNK, ReidSet

#: Kind of a problem -> how it is called.
KINDS = {
    "layout": "no data set that can be read",
    "part": "empty parts",
    "persons": "too few persons",
    "queries": "nothing to score",
    "published": "other counts than the published ones",
    "empty": "empty files",
    "missing": "missing images",
    "name": "wrong names",
    "line": "lines that cannot be read",
    "doubled": "doubled images",
    "junk": "junk outside the gallery",
    "unreadable": "images that cannot be decoded",
    "small": "images of odd size",
    "leak": "the same bytes in training and test",
    "copy": "a query's bytes in the gallery",
    "shared": "persons in training and test",
}
_SHOWN = 5
_COLUMNS = ("images", "ids", "cameras", "junk", "distractors")


@dataclass(frozen=True)
class Check:
    """What a check found.

    Attributes:
        layout: the layout that was found, or the one that was asked for.
        root: the folder.
        counts: part -> images, ids, cameras, junk, distractors.
        problems: `KINDS` names their kinds.
        published: part -> count -> (found, published), where the folder says that it is a published data set.
        notes: what a reader of the results must know.
        ignored: files that are no images.
    """

    layout: str
    root: str
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: list[Fault] = field(default_factory=list)
    published: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No problems."""
        return not self.problems

    def plain(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        return {
            "layout": self.layout,
            "root": self.root,
            "ok": self.ok,
            "counts": self.counts,
            "published": {
                part: {name: {"found": a, "published": b} for name, (a, b) in row.items()}
                for part, row in self.published.items()
            },
            "problems": [problem._asdict() for problem in self.problems],
            "notes": list(self.notes),
            "ignored": list(self.ignored),
        }

    def lines(self) -> list[str]:
        """The same for a terminal: a table of the parts, problems by kind with up to five examples, the outcome."""
        out = [f"{self.root} ({self.layout})"]
        if self.counts:
            out.append(f"{'':8}" + "".join(f"{name:>13}" for name in _COLUMNS))
            for part, row in self.counts.items():
                out.append(f"{part:8}" + "".join(f"{row[name]:>13,}" for name in _COLUMNS))
        pairs = [pair for row in self.published.values() for pair in row.values()]
        if pairs:
            out.append(f"published counts: {sum(a == b for a, b in pairs)} of {len(pairs)} agree")
        if self.ignored:
            out.append(f"files that are no images, ignored: {len(self.ignored)}, such as {self.ignored[0]}")
        out += [f"note: {note}" for note in self.notes]
        for kind, title in KINDS.items():
            alike = [f"  {path}: {message}" for its_kind, path, message in self.problems if its_kind == kind]
            most = len(alike) if kind == "published" else _SHOWN  # ten at most, and each says something else
            out += [f"{title}: {len(alike):,}", *alike[:most]] if alike else []
            if len(alike) > most:
                out.append(f"  and {len(alike) - most:,} more")
        total = len(self.problems)
        out.append("ok" if self.ok else f"{total:,} problem{'s' if total > 1 else ''}")
        return out


def check_reid(root: str | Path, layout: str = "auto", *, decode: bool = True) -> Check:
    """Check a re-identification data set and never raise for what is wrong with it.

    Beyond what `read_reid` refuses, it finds images that cannot be decoded, sides below 8 pixels, the same bytes in
    training and test (a leak), a query's bytes in the gallery where scoring does not drop them, persons in training and
    test, and counts that differ from the published ones where the folder's name or ``layout`` says which set it is.

    Args:
        root: with ``layout`` as for `read_reid`.
        layout: see ``root``.
        decode: whether to decode all pixels; files are compared by their bytes either way.
    """
    try:
        scan = read_scan(root, layout)
    except FeatmaskError as error:
        return Check(layout, str(root), problems=[Fault("layout", str(root), str(error))])
    data = scan.finish()
    here = counts(data)
    published = {
        part: {name: (here[part][name], number) for name, number in row.items()}
        for part, row in PUBLISHED.get(known_as(data) or "", {}).items()
    }
    faults = [*scan.faults, *audit(data)]
    for part, row in published.items():
        for name, (number, said) in row.items():
            if number != said:
                faults.append(Fault("published", str(data.root), f"{part}: {number:,} {name}, published {said:,}"))
    faults += [*identical(data), *_shared(data)]
    if decode:
        faults += decoded(data, {fault.path for fault in scan.faults if fault.kind == "empty"})
    ignored = tuple(map(str, scan.ignored))
    return Check(scan.name, str(scan.root), here, faults, published, data.notes, ignored)


def _shared(data: ReidSet) -> Iterator[Fault]:
    if data.name == "msmt17":  # its test persons count from 0 again
        return
    test = np.union1d(data.query.pids, data.gallery.pids)
    for pid in np.intersect1d(data.train.pids, test).tolist():
        if pid != JUNK:
            path = data.train.paths[int(np.flatnonzero(data.train.pids == pid)[0])]
            yield Fault("shared", str(path), f"person {pid} is in training and in test; results would be too good")
