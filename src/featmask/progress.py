"""Progress of long work: a bar on a terminal, plain lines elsewhere, always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

#: Seconds between plain lines.
QUIET = 15.0


class Bar(Protocol):
    """What the body of a ``with progress(...)`` block gets."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count work that is done; ``note`` is shown beside it."""


@contextmanager
def progress(title: str, total: int) -> Iterator[Bar]:
    """Show how far work is.

    Args:
        title: what is done.
        total: how much of it there is, in the unit that ``advance`` counts.
    """
    if sys.stderr.isatty():
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError:
            pass
        else:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
                yield _Rich(shown, shown.add_task(title, total=total, note=""))
            return
    yield _Plain(title, total)


class _Rich:
    def __init__(self, shown: object, task: object) -> None:
        self.shown, self.task = shown, task

    def advance(self, count: int = 1, note: str = "") -> None:
        self.shown.update(self.task, advance=count, note=note)  # type: ignore[attr-defined]


class _Plain:
    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done = title, total, 0
        self.last = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        if time.monotonic() - self.last >= QUIET:
            self.last = time.monotonic()
            print(f"{self.title}: {self.done}/{self.total} {note}".rstrip(), file=sys.stderr, flush=True)
