"""From jobs to their outcomes, wherever they are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import FeatmaskError
from .job import Executor, Job
from .local import in_this_process, in_workers
from .overview import overview


def run_jobs(jobs: Sequence[Job], executor: Executor | None = None) -> dict[str, str]:
    """Do jobs that need nothing of each other, and show how far they are.

    A job that fails does not affect the others; an unforeseen error leaves its traceback in the job's folder
    (``error.txt``). What a job of a worker prints is added to ``log.txt`` there. After Ctrl-C, or a kill of this
    process, no worker is left; the same jobs go on where they stopped.

    Args:
        jobs: names and folders are unique.
        executor: who does them; default: this process, one after the other.

    Returns:
        Name of each job that failed -> why.

    Raises:
        FeatmaskError: two jobs of the same name or in the same folder, or a cluster that cannot be reached.
        MissingExtraError: ``ray`` is asked for and not installed.
        KeyboardInterrupt: Ctrl-C.
    """
    executor = executor or Executor()
    jobs = [job.moved(job.folder.absolute()) for job in jobs]
    for what in ([job.name for job in jobs], [str(job.folder) for job in jobs]):
        twice = sorted({one for one in what if what.count(one) > 1})
        if twice:
            raise FeatmaskError(f"jobs: expected each name and folder once; twice came {', '.join(twice)}")
    if not jobs:
        return {}
    if executor.kind == "ray":
        from .cluster import on_ray

        return on_ray(jobs, executor)
    with overview(jobs) as view:
        if executor.workers == 1:
            in_this_process(jobs, view)
        else:
            in_workers(jobs, executor, view)
    return view.failed


def listed(what: str, failed: Mapping[str, str]) -> str:
    """A message: what happened, and below it a line per job that failed, with the reason."""
    return "\n".join([f"{what}:", *(f"  {name}: {why}" for name, why in failed.items())])
