"""One job in this process: a failure is reported and written down, and ends no other job."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import FeatmaskError
from ..utils.files import write_text
from .job import Job

ERROR = "error.txt"
LOG = "log.txt"


class Outcome(NamedTuple):
    """How a job ended.

    Attributes:
        why: it failed; None: it is done.
        sound: whether its process can be trusted with another job.
    """

    why: str | None
    sound: bool = True


def read(packed: bytes) -> Job:
    """A pickled job, in another process than the one that made it.

    Raises:
        FeatmaskError: something in it cannot be imported here.
    """
    try:
        job: Job = pickle.loads(packed)
    except Exception as error:
        raise FeatmaskError(f"its worker cannot read it: {type(error).__name__}: {error}") from error
    return job


def perform(job: Job) -> Outcome:
    """Do a job; the traceback of an unforeseen failure is left in its folder as ``error.txt``.

    Raises:
        KeyboardInterrupt: Ctrl-C; it is meant for all jobs.
    """
    with suppress(OSError):
        (job.folder / ERROR).unlink(missing_ok=True)
    try:
        job.call(*job.arguments)
    except FeatmaskError as error:
        return Outcome(str(error))
    except (Exception, SystemExit) as error:
        lines = str(error).strip().splitlines()
        why = f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
        with suppress(OSError):  # of a full disk the reason alone must do
            write_text(job.folder / ERROR, traceback.format_exc())
        return Outcome(why, sound=False)
    return Outcome(None)


@contextmanager
def output_to(path: Path) -> Iterator[None]:
    """All that this process prints, native code included, is added to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    _flush()
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield
    finally:
        _flush()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)
        os.close(log)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
