"""Two Ray nodes on one machine, one of them lost midway: all is done, and as if nothing had happened."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from test_jobs import contents, count_up, fail

from featmask.errors import FeatmaskError
from featmask.jobs import Executor, Job, run_jobs

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

STEPS = 8


@pytest.fixture(scope="module")
def head():
    """The node that the program itself is on, with one core."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # a lost node is noticed within a second or two, and not after a quarter of a minute
        checks = {
            "health_check_initial_delay_ms": 0,
            "health_check_period_ms": 500,
            "health_check_failure_threshold": 2,
        }
        settings = {"num_cpus": 1, "include_dashboard": False, "_system_config": checks}
        cluster = Cluster(initialize_head=True, head_node_args=settings)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def second(head):
    """Another node, with one core."""
    node = head.add_node(num_cpus=1)
    head.wait_for_nodes()
    yield node
    if node in head.worker_nodes:
        head.remove_node(node)


def count_and_tell(folder: Path, diary: str, steps: int, pause: float) -> None:
    """Counts as any job does; the diary, which no node carries away, tells where it was and from where it went on."""
    node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"
    lines = folder / "train.jsonl"
    begun = len(lines.read_text().splitlines()) if lines.exists() else 0
    for done in range(begun, steps):
        with open(diary, "a") as handle:
            handle.write(f"{node} {begun} {done}\n")
        count_up(folder, done + 1, pause)
    count_up(folder, steps)


def jobs_in(root: Path, pause: float) -> list[Job]:
    root.mkdir()
    found = []
    for number in range(4):
        folder = root / "study" / f"job-{number}"
        arguments = (folder, str(root / f"diary-{number}"), STEPS, pause)
        found.append(Job(f"job {number}", count_and_tell, arguments, folder, units=STEPS))
    return found


def diary(root: Path, number: int) -> list[tuple[str, int, int]]:
    path = root / f"diary-{number}"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(node, int(begun), int(done)) for node, begun, done in map(str.split, lines)]


@pytest.mark.parametrize("own_folders", [False, True])
def test_a_node_is_lost_and_nothing_else(head, second, tmp_path, capfd, own_folders):
    calm, root = tmp_path / "calm", tmp_path / "disturbed"
    assert run_jobs(jobs_in(calm, 0.0)) == {}
    capfd.readouterr()
    jobs = jobs_in(root, 0.3)
    lost: list[int] = []

    def kill() -> None:
        """Once a job on the second node is halfway through: its raylet, and with it all of the node."""
        while not lost:
            for number in range(4):
                if any(node == second.node_id and done == STEPS // 2 for node, _, done in diary(root, number)):
                    lost.append(number)
                    head.remove_node(second, allow_graceful=False)
                    break
            time.sleep(0.02)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert run_jobs(jobs, Executor(kind="ray", address=head.address, own_folders=own_folders)) == {}
    killer.join(30)
    assert contents(root / "study") == contents(calm / "study")
    (number,) = lost
    steps = diary(root, number)
    reached = max(done for node, _, done in steps if node == second.node_id)
    last, begun, _ = steps[-1]
    assert last != second.node_id
    # where files are shared, the other node goes on with the step that the lost one was in; else it begins anew
    assert begun in ((0,) if own_folders else (reached, reached + 1))
    assert reached >= STEPS // 2
    assert not list(root.rglob("*.tmp"))
    told = capfd.readouterr()
    lines = told.err.splitlines()
    assert sum(bool(re.fullmatch(r"\[\d/4\] job \d: done( \(.*\))?", line)) for line in lines) == 4
    assert lines.count("a node has left the cluster; jobs that it had begun go to another") == 1
    assert len(lines) < 12
    assert told.out == ""
    assert not ray.is_initialized()


def test_folders_come_back_from_nodes_that_share_no_files(head, tmp_path):
    """One that was begun goes on there; a failure comes back with its traceback; a death stays alone."""
    jobs = jobs_in(tmp_path / "root", 0.0)
    count_up(jobs[0].folder, 3)
    bad = Job("bad", fail, (tmp_path / "root" / "bad", RuntimeError("no luck")), tmp_path / "root" / "bad")
    dead = Job("dead", die_always, (tmp_path / "attempts",), tmp_path / "root" / "dead")
    executor = Executor(kind="ray", address=head.address, own_folders=True, retries=1)
    failed = run_jobs([*jobs, bad, dead], executor)
    assert list(failed) == ["bad", "dead"]
    assert failed["bad"] == "RuntimeError: no luck"
    assert failed["dead"].startswith("WorkerCrashedError: ")
    assert (tmp_path / "attempts").read_text() == "once\n" * 2
    assert {begun for _, begun, _ in diary(tmp_path / "root", 0)} == {3}
    whole = jobs_in(tmp_path / "here", 0.0)
    assert run_jobs(whole) == {}
    for one, other in zip(jobs, whole, strict=True):
        assert contents(one.folder) == contents(other.folder)
    assert "no luck" in (bad.folder / "error.txt").read_text()
    assert not dead.folder.exists()


def die_always(attempts: Path) -> None:
    with open(attempts, "a") as handle:
        handle.write("once\n")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_cluster_of_our_own_a_connection_of_the_users_and_no_cluster(head, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(FeatmaskError, match="asks for 1 GPU, and no node of the Ray cluster has more than 0"):
        run_jobs(jobs_in(tmp_path / "a", 0.0), Executor(kind="ray", gpus=1))
    with pytest.raises(FeatmaskError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        run_jobs(jobs_in(tmp_path / "b", 0.0), Executor(kind="ray", address="127.0.0.1:1"))
    ray.init(address=head.address, log_to_driver=False, logging_level="ERROR")
    try:
        assert run_jobs(jobs_in(tmp_path / "c", 0.0), Executor(kind="ray")) == {}
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    assert sorted(path.name for path in (tmp_path / "c" / "study").iterdir()) == [
        f"job-{number}" for number in range(4)
    ]
