"""Which code trained and measured: a digest, so that figures of one version are not taken for another's."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

#: What plans, shows and tells: it changes no weight and no figure.
SHOWS = frozenset(
    (
        "cli",
        "drawing",
        "jobs",
        "report",
        "stats",
    )
)


@lru_cache(maxsize=1)
def code_version() -> str:
    """Eight hexadecimal digits of every module that a trained and measured model depends on."""
    home = Path(__file__).parents[1]
    found = hashlib.sha256()
    for path in sorted(home.rglob("*.py")):
        inner = path.relative_to(home)
        if inner.parts[0] not in SHOWS:
            found.update(f"{inner.as_posix()}\0".encode())
            found.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return found.hexdigest()[:8]
