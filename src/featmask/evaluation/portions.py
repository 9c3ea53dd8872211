"""Batches that shrink until they fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")

#: What torch says where the CPU has no memory left; CUDA has an error of its own.
_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a smaller batch might do."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


class Portions:
    """How many samples are computed at once: halved for good whenever memory runs out."""

    def __init__(self, largest: int | None = None) -> None:
        self.largest = largest

    def each(self, work: Callable[[slice], Result], count: int) -> list[Result]:
        """Results of ``work`` for consecutive portions of ``count`` samples.

        What a sample gives must not depend on its neighbours: then a portion that failed is simply done again.
        """
        found, start = [], 0
        while start < count:
            stop = count if self.largest is None else min(count, start + self.largest)
            try:
                found.append(work(slice(start, stop)))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or stop - start == 1:
                    raise
                self.largest = (stop - start) // 2
            else:
                start = stop
                continue
            # outside the handler: the traceback holds the tensors that are to be freed
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return found
