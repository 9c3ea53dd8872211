"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; rename it over ``path`` if the block succeeds, delete it if not.

    A reader sees the old file or the new one, never a half; a kill leaves at most a ``.tmp`` file beside it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        _open_up(beside, 0o666)
        with open(beside, "rb") as written:
            os.fsync(written.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Give a folder beside ``path`` to fill; rename it to ``path`` if the block succeeds, delete it if not.

    Raises:
        OSError: ``path`` is there already, and is no empty folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        yield beside
        _open_up(beside, 0o777)
        if path.is_dir():
            path.rmdir()  # an empty one is in the way on Windows
        os.replace(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _open_up(beside: Path, mode: int) -> None:
    """What tempfile makes is private; a result is as readable as anything that the user makes."""
    umask = os.umask(0)
    os.umask(umask)
    beside.chmod(mode & ~umask)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON (indented, NaN refused: it is not JSON) whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
