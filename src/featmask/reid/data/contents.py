"""Checks of files' bytes: pixels that cannot be decoded, and files that are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from ...data.pixels import in_threads
from ...errors import require
from .scan import Fault
from .sets import JUNK, ReidSet

#: Pixels per side that an image must have to show a person.
SMALLEST = 8


def identical(data: ReidSet) -> list[Fault]:
    """Compare bytes over parts; only files whose sizes agree are read."""
    parts = data.parts
    sizes: dict[int, list[tuple[str, int]]] = {}
    for name, part in parts.items():
        for row, path in enumerate(part.paths):
            try:
                sizes.setdefault(path.stat().st_size, []).append((name, row))
            except OSError:
                continue  # gone since it was listed: reading it will say so
    alike = [item for size, items in sizes.items() if size and len({part for part, _ in items}) > 1 for item in items]
    groups: dict[bytes, list[tuple[str, int]]] = {}
    digests = in_threads("comparing images", _digest, [parts[name].paths[row] for name, row in alike])
    for item, digest in zip(alike, digests, strict=True):
        if digest is not None:
            groups.setdefault(digest, []).append(item)
    faults = []
    for items in groups.values():
        rows = {name: [row for part, row in items if part == name] for name in parts}
        for name, row in items:
            path = parts[name].paths[row]
            if name != "train" and rows["train"]:
                faults.append(Fault("leak", str(path), f"the same bytes as {data.train.paths[rows['train'][0]]}"))
            elif name == "query":
                # scoring drops the query's own person by its own camera, so that such a copy does no harm
                scored = [i for i in rows["gallery"] if not _dropped(data, row, i)]
                if scored:
                    faults.append(Fault("copy", str(path), f"the same bytes as {data.gallery.paths[scored[0]]}"))
    return faults


def _dropped(data: ReidSet, query: int, row: int) -> bool:
    person = data.gallery.pids[row]
    same = person == data.query.pids[query] and data.gallery.cams[row] == data.query.cams[query]
    return bool(person == JUNK or same)


def _digest(path: Path) -> bytes | None:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError:
        return None


def decoded(data: ReidSet, known: Collection[str]) -> list[Fault]:
    """Decode every image once; paths in ``known`` have a fault already and are left out.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    require("PIL.Image", "reid")
    paths = list(dict.fromkeys(path for part in data.parts.values() for path in part.paths))
    paths = [path for path in paths if str(path) not in known]
    return [fault for fault in in_threads("decoding images", _decode, paths) if fault is not None]


def _decode(path: Path) -> Fault | None:
    image = require("PIL.Image", "reid")
    try:
        with image.open(path) as handle:
            handle.verify()
        with image.open(path) as handle:  # verify leaves the image unusable, and does not see a missing end
            handle.load()
            width, height = handle.size
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        return Fault("unreadable", str(path), f"{type(error).__name__}: {error}")
    if min(width, height) < SMALLEST:
        return Fault("small", str(path), f"{width} x {height} pixels; expected {SMALLEST} or more per side")
    return None
