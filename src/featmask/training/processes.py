"""The processes that train one model together, as ``torchrun`` or ``accelerate launch`` start them.

One of them is the main one: it decides, validates, measures, and alone writes files. A program that was started without
a launcher is its own main process, and all of this does nothing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch

from ..errors import FeatmaskError, FeatmaskWarning, require

T = TypeVar("T")

#: How torchrun, and the MPI libraries that accelerate knows, tell how many processes they have started.
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
#: The others wait while the main process validates. That one has died is the launcher's to notice, not a timeout's.
_PATIENCE = timedelta(days=7)


def launched() -> int:
    """How many processes a launcher has started for this program, whether they have been connected or not."""
    return max(int(os.environ.get(name) or 1) for name in _SIZES)


def count() -> int:
    """How many processes train together."""
    return torch.distributed.get_world_size() if _met() else 1


def rank() -> int:
    """This process's number, from 0."""
    return torch.distributed.get_rank() if _met() else 0


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def on_cpu(device: str) -> bool:
    """Whether training on ``device`` (``auto``, ``cpu``, ``cuda``, ``mps``) is training on the CPU."""
    return device == "cpu" or (device == "auto" and not torch.accelerator.is_available())


@contextmanager
def together(device: str) -> Iterator[bool]:
    """Let the processes of a launcher meet, and part after the block; tell whether this is the main one.

    A block within another of these is part of it. ``device`` decides how they talk (NCCL, Gloo).

    Raises:
        FeatmaskError: they cannot meet, or one of the others has ended within the block.
    """
    _warn_of_one()
    if _met() or launched() == 1:
        yield is_main()
        return
    state = require("accelerate", "train").PartialState
    state._reset_state()
    use_cpu = on_cpu(device) or os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true")
    state(cpu=use_cpu, timeout=_PATIENCE)
    if count() != launched():
        raise FeatmaskError(f"{launched()} processes were started that cannot train together on {device}; start one")
    try:
        yield is_main()
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        raise FeatmaskError(
            f"process {rank()} of {count()} has lost the others: one of them has ended, its own message says why"
        ) from error
    torch.distributed.destroy_process_group()
    state._reset_state()


def from_main(value: T) -> T:
    """The main process's ``value``, in every process; it travels as a pickle."""
    if count() == 1:
        return value
    held: list[Any] = [value]
    torch.distributed.broadcast_object_list(held, src=0)
    return held[0]  # type: ignore[no-any-return]


def totals(*own: float, device: torch.device) -> list[float]:
    """Sums over all processes, of each of these figures."""
    if count() == 1:
        return list(own)
    return list(_summed(torch.tensor(own, dtype=torch.float64, device=device)).tolist())


def part_of_the_mean(loss: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """A process's loss such that its mean over all processes, and that of the gradients, is the whole batch's.

    Args:
        loss: scalar, the mean of this process's samples by their weights.
        weights: (N,) of these samples. A process counts by their sum.
    """
    if count() == 1:
        return loss
    own = weights.sum(dtype=loss.dtype)
    return loss * (count() * own / _summed(own).clamp_min(1e-12))


def mean_of_each(bucket: Any) -> torch.futures.Future[torch.Tensor]:
    """Average a bucket's gradients over the processes, one parameter at a time, in DistributedDataParallel's hook.

    Buckets (torch's ``GradBucket``) are filled anew after the first step. Summed whole, three processes or more would
    add up in another order in a run that was continued.
    """
    buffer: torch.Tensor = bucket.buffer().div_(count())
    sums = [torch.distributed.all_reduce(gradient, async_op=True).get_future() for gradient in bucket.gradients()]
    return torch.futures.collect_all(sums).then(lambda _: buffer)


@contextmanager
def main_first() -> Iterator[None]:
    """Run a block in the main process, then once on every other machine, then in the rest: it may fill a cache."""
    turn = 0 if is_main() else 1 if int(os.environ.get("LOCAL_RANK", "0")) == 0 else 2
    for _ in range(turn):
        _wait()
    yield
    for _ in range(2 - turn):
        _wait()


def alone(what: str) -> None:
    """Refuse work that several processes would only do several times over.

    Raises:
        FeatmaskError: a launcher has started more than one.
    """
    if launched() > 1:
        raise FeatmaskError(
            f"{what} is work for one process, and a launcher has started {launched()}; start it without one. "
            "What several processes share is the training of one model: featmask train"
        )


def _met() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _summed(own: torch.Tensor) -> torch.Tensor:
    total = own.clone()
    torch.distributed.all_reduce(total)
    return total


def _wait() -> None:
    if count() > 1:
        require("accelerate", "train").PartialState().wait_for_everyone()


def _is_lost(error: RuntimeError) -> bool:
    text = str(error)
    return isinstance(error, torch.distributed.DistError) or "gloo" in text or "Connection closed by peer" in text


def _warn_of_one() -> None:
    """On a CPU, ``accelerate launch`` without MPI takes ``--num_processes`` and starts one, without a word."""
    if "ACCELERATE_USE_CPU" in os.environ and "MASTER_ADDR" in os.environ and launched() == 1:
        warnings.warn(
            "accelerate launch starts one process on a CPU unless MPI does it (--mpirun_hostfile); training goes on in "
            "this one. For several: torchrun --nproc-per-node 2 -m featmask.cli train ...",
            FeatmaskWarning,
            stacklevel=2,
        )
