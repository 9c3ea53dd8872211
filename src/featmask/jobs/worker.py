"""A worker process: takes jobs from its parent through standard input, one by one, and gives their outcomes."""

from __future__ import annotations

import os
import pickle
import threading
from queue import SimpleQueue
from typing import BinaryIO

from ..errors import FeatmaskError
from .performing import LOG, Outcome, output_to, perform, read


def main() -> None:
    """Work until the parent has no more, or is no more."""
    orders, outcomes = os.fdopen(_private(0), "rb"), os.fdopen(_private(1), "wb")
    waiting: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(orders, waiting), daemon=True).start()
    while True:
        outcome = _do(waiting.get())
        pickle.dump(tuple(outcome), outcomes)
        outcomes.flush()


def _do(packed: bytes) -> Outcome:
    try:
        job = read(packed)
        with output_to(job.folder / LOG):
            return perform(job)
    except FeatmaskError as error:
        return Outcome(str(error))
    except OSError as error:  # of the log itself
        return Outcome(f"OSError: {error}")


def _receive(orders: BinaryIO, waiting: SimpleQueue[bytes]) -> None:
    """End the process, whatever it does, as soon as its parent has closed the pipe or was killed."""
    try:
        while True:
            waiting.put(pickle.load(orders))
    finally:
        os._exit(0)


def _private(number: int) -> int:
    """Standard input or output under a number that neither a job nor its children know."""
    private = os.dup(number)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, number)
    os.close(nothing)
    return private
