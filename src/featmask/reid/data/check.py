"""A checker of re-identification data sets: what is there, and everything that is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FeatmaskError
from .contents import decoded, identical
from .layouts import read_draft
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
        problems: (kind, path, message); `KINDS` names the kinds.
        published: part -> count -> (found, published), where the folder says that it is a published data set.
        notes: what a reader of the results must know.
        ignored: files that are no images.
    """

    layout: str
    root: str
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: list[tuple[str, str, str]] = field(default_factory=list)
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
            "problems": [{"kind": kind, "path": path, "message": text} for kind, path, text in self.problems],
            "notes": list(self.notes),
            "ignored": list(self.ignored),
        }

    def lines(self) -> list[str]:
        """The same for a terminal: a table of the parts, problems by kind with up to five examples, the outcome."""
        out = [f"{self.root} ({self.layout})"]
        if self.counts:
            out.append(f"{'':8}" + "".join(f"{name:>13}" for name in _COLUMNS))
            out += [
                f"{part:8}" + "".join(f"{row[name]:>13,}" for name in _COLUMNS) for part, row in self.counts.items()
            ]
        pairs = [pair for row in self.published.values() for pair in row.values()]
        if pairs:
            out.append(f"published counts: {sum(a == b for a, b in pairs)} of {len(pairs)} agree")
        if self.ignored:
            out.append(f"files that are no images, ignored: {len(self.ignored)}, such as {self.ignored[0]}")
        out += [f"note: {note}" for note in self.notes]
        number = Counter(kind for kind, _, _ in self.problems)
        for kind in [kind for kind in KINDS if number[kind]]:
            out.append(f"{KINDS[kind]}: {number[kind]:,}")
            most = len(self.problems) if kind == "published" else _SHOWN  # ten at most, and each says something else
            shown = [problem for problem in self.problems if problem[0] == kind][:most]
            out += [f"  {path}: {message}" for _, path, message in shown]
            if number[kind] > most:
                out.append(f"  and {number[kind] - most:,} more")
        total = len(self.problems)
        out.append("ok" if self.ok else f"{total:,} problem{'s' if total > 1 else ''}")
        return out


def check_reid(root: str | Path, layout: str = "auto", *, decode: bool = True) -> Check:
    """Check a re-identification data set and never raise for what is wrong with it.

    Beyond what `read_reid` refuses, it finds images that cannot be decoded, sides below 8 pixels, the same bytes in
    training and test (a leak), a query's bytes in the gallery where scoring does not drop them, persons in training and
    test, and counts that differ from the published ones where the folder's name or ``layout`` says which set it is.

    Args:
        root: as for `read_reid`.
        layout: as for `read_reid`.
        decode: whether to decode all pixels; files are compared by their bytes either way.
    """
    try:
        draft = read_draft(root, layout)
    except FeatmaskError as error:
        return Check(layout, str(root), problems=[("layout", str(root), str(error))])
    found = draft.finish()
    here = counts(found)
    published = _beside(found, here)
    faults = [*draft.faults, *audit(found), *_differing(found, published)]
    faults += [*identical(found), *_shared(found)]
    if decode:
        faults += decoded(found, {fault.path for fault in draft.faults if fault.kind == "empty"})
    return Check(
        draft.name,
        str(draft.root),
        here,
        [(fault.kind, fault.path, fault.message) for fault in faults],
        published,
        found.notes,
        tuple(map(str, draft.ignored)),
    )


def _beside(found: ReidSet, here: dict[str, dict[str, int]]) -> dict[str, dict[str, tuple[int, int]]]:
    return {
        part: {name: (here[part][name], number) for name, number in row.items()}
        for part, row in PUBLISHED.get(known_as(found) or "", {}).items()
    }


def _differing(found: ReidSet, published: dict[str, dict[str, tuple[int, int]]]) -> Iterator[Fault]:
    for part, row in published.items():
        for name, (here, number) in row.items():
            if here != number:
                yield Fault("published", str(found.root), f"{part}: {here:,} {name}, published {number:,}")


def _shared(found: ReidSet) -> Iterator[Fault]:
    if found.name == "msmt17":  # its test persons count from 0 again
        return
    test = np.union1d(found.query.pids, found.gallery.pids)
    for pid in np.intersect1d(found.train.pids, test).tolist():
        if pid != JUNK:
            path = found.train.paths[int(np.flatnonzero(found.train.pids == pid)[0])]
            yield Fault("shared", str(path), f"person {pid} is in training and in test; results would be too good")
