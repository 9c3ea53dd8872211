"""Many independent jobs: in this process, in worker processes of this machine, or on a Ray cluster."""

from .job import Executor, Job, epochs_done
from .running import listed, run_jobs

__all__ = ["Executor", "Job", "epochs_done", "listed", "run_jobs"]
