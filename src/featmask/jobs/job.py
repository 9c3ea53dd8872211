"""A job, and the executor of many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import FeatmaskError


def epochs_done(folder: Path) -> int:
    """Lines of a run's ``train.jsonl``."""
    try:
        return (folder / "train.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


@dataclass(frozen=True)
class Job:
    """One piece of work that needs no other, and goes on where it stopped when it is called once more.

    Attributes:
        name: unique among the jobs that run together, for example ``lfm, seed 3``.
        call: a function of a module (workers import it by its name) that leaves its results in ``folder``.
        arguments: of ``call``; picklable. One that is ``folder`` itself is replaced where a job works elsewhere.
        folder: the job's own; all that it leaves, also where a killed job goes on.
        units: how much work it is, in a unit that all jobs share, such as epochs; only progress depends on it.
        done: how many units are done, read from the folder.
    """

    name: str
    call: Callable[..., None]
    arguments: tuple[Any, ...]
    folder: Path
    units: int = 1
    done: Callable[[Path], int] = epochs_done

    def moved(self, folder: Path) -> Job:
        """The same job in another folder."""
        own = (self.folder, self.folder.absolute())
        arguments = (folder if isinstance(value, Path) and value in own else value for value in self.arguments)
        return replace(self, folder=folder, arguments=tuple(arguments))


@dataclass(frozen=True)
class Executor:
    """Who does the jobs.

    Attributes:
        kind: ``local`` or ``ray``.
        workers: local: how many at a time. One is this process; several are processes that share its cores (so a
            worker's number of threads, and with it the order of sums, depends on ``workers``) and its GPUs.
        cpus: ray: cores per job, also its number of threads.
        gpus: ray: GPUs per job, or a fraction of one.
        address: ray: ``host:port`` of a cluster, or ``auto`` for the one that this machine belongs to; default: what
            the variable ``RAY_ADDRESS`` says, else a new one on this machine alone.
        retries: how often a job is done again whose worker was lost; it goes on where it stopped, if another worker
            sees its folder. A job that fails by itself is not done again.
        own_folders: ray: nodes work in folders of their own and send them back, even where they share files.

    Raises:
        FeatmaskError: a kind that there is not, or a number out of range.
    """

    kind: Literal["local", "ray"] = "local"
    workers: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None
    retries: int = 2
    own_folders: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("local", "ray"):
            raise FeatmaskError(f"jobs: expected local or ray, got {self.kind!r}")
        if self.workers < 1:
            raise FeatmaskError(f"workers: expected 1 or more, got {self.workers}")
        if self.retries < 0:
            raise FeatmaskError(f"retries: expected 0 or more, got {self.retries}")
        for name, value in (("cpus", self.cpus), ("gpus", self.gpus)):
            if value < 0 or (value > 1 and value != int(value)):
                raise FeatmaskError(f"{name}: expected a fraction below 1 or a whole number, got {value}")
