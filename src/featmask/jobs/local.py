"""Jobs on this machine: in this process, or in worker processes that share its cores and GPUs."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from .job import Executor, Job
from .machine import share
from .overview import Overview
from .performing import Outcome, perform

#: Seconds between looks at whether workers live, and at Ctrl-C.
PULSE = 0.2


def in_this_process(jobs: Sequence[Job], view: Overview) -> None:
    """One after the other."""
    for job in jobs:
        view.started(job)
        view.ended(job, perform(job).why)


def in_workers(jobs: Sequence[Job], executor: Executor, view: Overview) -> None:
    """Several at a time; a job whose worker dies goes on in a new one. No worker outlives this call or process."""
    crew = _Crew(jobs, executor, view)
    shares = share(executor.workers)[: len(jobs)]
    threads = [threading.Thread(target=crew.serve, args=(variables,), daemon=True) for variables in shares]
    try:
        for thread in threads:
            thread.start()
        while crew.broken is None and (busy := [thread for thread in threads if thread.is_alive()]):
            busy[0].join(PULSE)
            crew.bury()
    finally:
        crew.stop()
    if crew.broken is not None:
        raise crew.broken


class _Stopped(Exception):
    """No worker is started any more."""


class _Crew:
    """What the threads share, each of which keeps one worker busy."""

    def __init__(self, jobs: Sequence[Job], executor: Executor, view: Overview) -> None:
        self.waiting = iter([(job, pickle.dumps(job)) for job in jobs])  # a list's iterator: threads may share it
        self.executor, self.view = executor, view
        self.lock = threading.Lock()
        self.stopped = False
        self.living: list[subprocess.Popen[bytes]] = []
        self.broken: BaseException | None = None

    def serve(self, variables: dict[str, str]) -> None:
        """Give job after job to a worker, a new one where the last one died."""
        worker: subprocess.Popen[bytes] | None = None
        try:
            for job, packed in self.waiting:
                self.view.started(job)
                outcome, worker = self._insist(packed, variables, worker)
                self.view.ended(job, outcome.why)
            if worker is not None:
                self._end(worker)
        except _Stopped:
            pass
        except BaseException as error:
            self.broken = error

    def _insist(
        self, packed: bytes, variables: dict[str, str], worker: subprocess.Popen[bytes] | None
    ) -> tuple[Outcome, subprocess.Popen[bytes] | None]:
        """A job's outcome, and the worker for the next one."""
        why = ""
        for _ in range(1 + self.executor.retries):
            worker = worker or self._start(variables)
            outcome = _ask(worker, packed)
            if isinstance(outcome, Outcome) and outcome.sound:
                return outcome, worker
            self._end(worker)  # what broke there, a GPU's state for example, must not break the next job
            worker = None
            if isinstance(outcome, Outcome):
                return outcome, worker
            why = outcome
        return Outcome(f"its worker died {1 + self.executor.retries} times, the last one {why}"), None

    def _start(self, variables: dict[str, str]) -> subprocess.Popen[bytes]:
        code = f"import sys; sys.path[:] = {sys.path!r}; from featmask.jobs.worker import main; main()"
        with self.lock:
            if self.stopped:
                raise _Stopped
            worker = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **variables},
                start_new_session=True,  # a terminal's Ctrl-C is the parent's to handle
            )
            self.living.append(worker)
        return worker

    def _end(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill a worker, idle or not."""
        with self.lock:
            if worker not in self.living:
                return
            self.living.remove(worker)
        _kill(worker)
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def bury(self) -> None:
        """End what is left of workers that died: a child that holds the pipe would hide the death."""
        with self.lock:
            dead = [worker for worker in self.living if worker.poll() is not None]
        for worker in dead:
            _kill(worker)

    def stop(self) -> None:
        """End all workers; none is started any more."""
        with self.lock:
            self.stopped = True
            living = list(self.living)
        for worker in living:
            self._end(worker)


def _ask(worker: subprocess.Popen[bytes], packed: bytes) -> Outcome | str:
    """Give a worker a job and wait for its outcome; of a worker that died, how."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        pickle.dump(packed, worker.stdin)
        worker.stdin.flush()
        return Outcome(*pickle.load(worker.stdout))
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):
        worker.kill()
        return _death(worker.wait())


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """The worker and its children."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(worker.pid, signal.SIGKILL)
        else:
            worker.kill()


def _death(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
    hint = "; if memory ran out, fewer workers need less of it" if name == "SIGKILL" else ""
    return f"by {name}{hint}"
