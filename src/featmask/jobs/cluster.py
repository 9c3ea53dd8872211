"""Jobs on a Ray cluster: each one a task with cores and GPUs of its own, done again elsewhere when its node is lost."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

from ..errors import FeatmaskError, require
from .bundles import pack, put_in_place
from .job import Executor, Job
from .machine import cores
from .overview import Overview, overview
from .performing import LOG
from .remote import Home, Result, home, work

#: Seconds between looks at who has started.
PULSE = 1.0
#: Seconds to wait for an answer from the cluster's address.
PATIENCE = 10.0
#: Ray's name for a cluster of this machine alone, for this program alone.
ALONE = "local"


def on_ray(jobs: Sequence[Job], executor: Executor) -> dict[str, str]:
    """As :func:`featmask.jobs.run_jobs`, on a cluster."""
    ray = require("ray", "ray")
    address = executor.address or os.environ.get("RAY_ADDRESS") or ALONE
    with (
        # Ray writes of each lost node and worker in a hundred lines, on standard output, which is for results
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        _connected(ray, address),
        home(jobs, executor.own_folders) as origin,
        overview(jobs) as view,
    ):
        _check(ray, executor, address == ALONE, view)
        _Tasks(ray, executor, origin, view).follow(jobs)
    return view.failed


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """A cluster; one that the program is connected to already is used, and kept."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that we start sends nothing to anyone
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # no GPU asked for, none seen; and no advice of it
    own: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False} if address == ALONE else {}
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if port.isdigit():  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), timeout=PATIENCE).close()
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise FeatmaskError(
            f"no Ray cluster at {address}: {error}; start one with 'ray start --head', and give its host:port"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check(ray: Any, executor: Executor, alone: bool, view: Overview) -> None:
    """A job that fits on no node would wait for ever without a word."""
    for name, asked in (("CPU", executor.cpus), ("GPU", executor.gpus)):
        most = max((node["Resources"].get(name, 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
        if asked > most:
            lack = f"a job asks for {asked:g} {name}, and no node of the Ray cluster has more than {most:g}"
            if alone:
                raise FeatmaskError(f"{lack}; ask for less, or give the address of another cluster")
            view.shown.say(f"{lack} now; waiting for one that has")  # a cluster may grow on demand


class _Tasks:
    """Jobs that Ray has taken over."""

    def __init__(self, ray: Any, executor: Executor, origin: Home, view: Overview) -> None:
        self.ray, self.origin, self.view = ray, origin, view
        self.work = ray.remote(num_cpus=executor.cpus, num_gpus=executor.gpus, max_retries=executor.retries)(work)
        self.tasks: dict[Any, Job] = {}
        self.nodes = self._alive()

    def follow(self, jobs: Sequence[Job]) -> None:
        """Until all have ended; whatever stops this stops them."""
        logs = {job.name: _changed(job) for job in jobs}
        try:
            for job in jobs:
                self._submit(job)
            while self.tasks:
                ended, _ = self.ray.wait(list(self.tasks), num_returns=1, timeout=PULSE)
                for job in self.tasks.values():
                    if _changed(job) != logs[job.name]:  # the first thing that a node does in a folder that it sees
                        self.view.started(job)
                for task in ended:
                    self._take(self.tasks.pop(task), task)
                self._count()
        finally:
            for task in self.tasks:
                with suppress(Exception):
                    self.ray.cancel(task, force=True)

    def _alive(self) -> set[str]:
        return {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}

    def _count(self) -> None:
        """Report nodes that are gone; Ray itself has their jobs done again."""
        before, self.nodes = self.nodes, self._alive()
        for _ in before - self.nodes:
            self.view.shown.say("a node has left the cluster; jobs that it had begun go to another")

    def _submit(self, job: Job, earlier: bytes | None = None) -> None:
        begun = job.folder.is_dir() and any(job.folder.iterdir())
        sent = None if earlier is None else self.ray.put(earlier)
        task = self.work.options(name=job.name).remote(pickle.dumps(job), self.origin, sent, begun)
        self.tasks[task] = job

    def _take(self, job: Job, task: Any) -> None:
        """What a task has left, into its place."""
        try:
            result: Result = self.ray.get(task)
            if result.wants:
                self._submit(job, pack(job.folder))
                return
            if result.packed is not None:
                put_in_place(result.packed, job.folder)
            why = result.why
        except self.ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            why = f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"
        except (FeatmaskError, OSError) as error:  # of putting it in place
            why = str(error)
        self.view.ended(job, why)


def _changed(job: Job) -> int:
    try:
        return (job.folder / LOG).stat().st_mtime_ns
    except OSError:
        return 0
