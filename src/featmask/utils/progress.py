"""Progress of long work: bars on a terminal, plain lines elsewhere, always on standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

#: Seconds between plain lines.
QUIET = 15.0


class Bar(Protocol):
    """What the body of a ``with progress(...)`` block gets."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count work that is done; ``note`` is shown beside it."""


class Display(Protocol):
    """Where bars are shown together.

    Attributes:
        live: bars move on a terminal; otherwise lines are printed now and then.
    """

    live: bool

    def bar(self, title: str, total: int, done: int = 0) -> AbstractContextManager[Bar]:
        """Add a bar for as long as the block lasts; what was ``done`` before does not count for its speed."""

    def say(self, text: str) -> None:
        """A line that stays."""


#: The display of this process, while one is open: work within other work is shown there.
_open: list[Display] = []


@contextmanager
def progress(title: str, total: int) -> Iterator[Bar]:
    """Show how far work is; ``total`` is in the unit that ``advance`` counts."""
    with display() as shown, shown.bar(title, total) as bar:
        yield bar


@contextmanager
def display(quiet: float = QUIET, memory: float = 30.0) -> Iterator[Display]:
    """The display that is open in this process, or a new one; ``quiet`` seconds lie between plain lines, and the speed
    of the last ``memory`` seconds tells when a bar will be full.
    """
    if _open:
        yield _open[0]
        return
    with _bars(memory) if sys.stderr.isatty() else nullcontext(_Lines(quiet)) as shown:
        _open.append(shown)
        try:
            yield shown
        finally:
            _open.clear()


@contextmanager
def _bars(memory: float) -> Iterator[Display]:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        yield _Lines(QUIET)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=memory) as shown:
        yield _Bars(shown)


class _Bars:
    live = True

    def __init__(self, shown: Any) -> None:
        self.shown = shown

    @contextmanager
    def bar(self, title: str, total: int, done: int = 0) -> Iterator[Bar]:
        task = self.shown.add_task(title, total=total, completed=done, note="")
        try:
            yield _Rich(self.shown, task)
        finally:
            self.shown.remove_task(task)

    def say(self, text: str) -> None:
        self.shown.console.print(text, markup=False, highlight=False)


class _Rich:
    def __init__(self, shown: Any, task: Any) -> None:
        self.shown, self.task = shown, task

    def advance(self, count: int = 1, note: str = "") -> None:
        self.shown.update(self.task, advance=count, note=note)


class _Lines:
    """A line for all bars at once, the outermost first."""

    live = False

    def __init__(self, quiet: float) -> None:
        self.quiet, self.last = quiet, time.monotonic()
        self.bars: list[_Plain] = []
        self.lock = threading.Lock()

    @contextmanager
    def bar(self, title: str, total: int, done: int = 0) -> Iterator[Bar]:
        mine = _Plain(self, title, total, done)
        self.bars.append(mine)
        try:
            yield mine
        finally:
            self.bars.remove(mine)

    def tell(self) -> None:
        with self.lock:
            if time.monotonic() - self.last < self.quiet:
                return
            self.last = time.monotonic()
        self.say("; ".join(map(str, self.bars)))

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Plain:
    def __init__(self, shown: _Lines, title: str, total: int, done: int) -> None:
        self.shown, self.title, self.total, self.done, self.note = shown, title, total, done, ""

    def __str__(self) -> str:
        return f"{self.title}: {self.done}/{self.total} {self.note}".rstrip()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done, self.note = self.done + count, note
        self.shown.tell()
