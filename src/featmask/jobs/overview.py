"""One view of many jobs: a bar for all and one per running job on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

from ..utils.progress import Bar, Display, display
from .job import Job

#: Seconds between looks into the folders of running jobs.
LOOK = 1.0
#: Seconds between plain lines that tell of neither start nor end.
QUIET = 60.0
#: Seconds whose speed tells when all will be done: epochs are few and far between.
MEMORY = 3600.0


@contextmanager
def overview(jobs: Sequence[Job]) -> Iterator[Overview]:
    """Show how far ``jobs`` are for as long as the block lasts."""
    over = threading.Event()
    units = {job.name: _done(job, 0) for job in jobs}
    with display(QUIET, MEMORY) as shown, shown.bar("all", sum(job.units for job in jobs), sum(units.values())) as bar:
        view = Overview(jobs, units, shown, bar)

        def watch() -> None:
            while not over.wait(LOOK):
                view.look()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield view
        finally:
            over.set()
            watcher.join()


class Overview:
    """How far the jobs are; any thread may report to it.

    Attributes:
        failed: name of a job -> why it failed.
    """

    def __init__(self, jobs: Sequence[Job], units: dict[str, int], shown: Display, bar: Bar) -> None:
        self.failed: dict[str, str] = {}
        self.done = 0
        self.running: dict[str, _Row] = {}
        #: Units of each job that are done; a failed one has none left.
        self.units, self.total = units, sum(job.units for job in jobs)
        self.before = self.counted = sum(units.values())
        self.titles = {job.name: f"[{number}/{len(jobs)}] {job.name}" for number, job in enumerate(jobs, start=1)}
        self.shown, self.bar = shown, bar
        self.start = time.monotonic()
        self.lock = threading.RLock()

    def started(self, job: Job) -> None:
        """A worker has begun with a job."""
        with self.lock:
            if job.name in self.running:
                return
            self.running[job.name] = _Row(job, self.shown if self.shown.live else None, self.units[job.name])
            if not self.shown.live:
                self.shown.say(f"{self.titles[job.name]}: started")
            self._tell()

    def ended(self, job: Job, why: str | None) -> None:
        """A job is done, or has failed."""
        with self.lock:
            row = self.running.pop(job.name, None)
            took = "" if row is None else f" ({row.close()})"
            self.units[job.name] = job.units
            if why is not None:
                self.failed[job.name] = why
                self.shown.say(f"{self.titles[job.name]} failed{took}: {why}")
            else:
                self.done += 1
                if not self.shown.live:
                    self.shown.say(f"{self.titles[job.name]}: done{took}")
            self._tell()

    def look(self) -> None:
        """Read from the folders of running jobs how far they are."""
        with self.lock:
            for name, row in self.running.items():
                self.units[name] = row.look(self.units[name])
            self._tell()

    def _tell(self) -> None:
        counts = {"done": self.done, "failed": len(self.failed), "running": len(self.running)}
        note = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        units = sum(self.units.values())
        if not self.shown.live and units > self.before:  # a terminal's bar says it itself
            left = (self.total - units) * (time.monotonic() - self.start) / (units - self.before)
            note += f", about {timedelta(seconds=round(left))} left"
        self.bar.advance(units - self.counted, note)
        self.counted = units


class _Row:
    """A running job, and its bar where there is one."""

    def __init__(self, job: Job, shown: Display | None, done: int) -> None:
        self.job, self.done, self.stack = job, done, ExitStack()
        self.start = time.monotonic()
        self.bar: Bar | None = None
        if shown is not None:
            self.bar = self.stack.enter_context(shown.bar(job.name, job.units, done))

    def look(self, before: int) -> int:
        done = _done(self.job, before)
        if self.bar is not None:
            self.bar.advance(done - self.done)
            self.done = done
        return done

    def close(self) -> timedelta:
        """End its bar; how long it took."""
        self.stack.close()
        return timedelta(seconds=round(time.monotonic() - self.start))


def _done(job: Job, before: int) -> int:
    """Never less than before: a job that begins anew repeats what was counted."""
    with suppress(Exception):  # half a file, a lost share: nothing that the job does not meet itself
        return max(before, min(job.done(job.folder), job.units))
    return before
