"""Jobs in this process and in workers: the same files, failures that stay alone, and nothing left running."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from featmask.errors import FeatmaskError
from featmask.jobs import Executor, Job, local, machine, overview, run_jobs
from featmask.jobs.bundles import pack, put_in_place, unpack
from featmask.jobs.overview import Overview
from featmask.utils import progress

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals")


def count_up(folder: Path, steps: int, pause: float = 0.0) -> None:
    """Goes on where it stopped: a line per step, then a result that holds them all."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = folder / "train.jsonl"
    done = len(lines.read_text().splitlines()) if lines.exists() else 0
    for step in range(done, steps):
        time.sleep(pause)
        with open(lines, "a") as handle:
            handle.write(f'{{"epoch": {step + 1}, "square": {step**2}}}\n')
    (folder / "result.txt").write_text(f"{folder.name}: {lines.read_text().count('square')}")


def fail(folder: Path, error: BaseException) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "begun").touch()
    raise error


def tell_process(folder: Path) -> None:
    """Which process it was, with how many threads and which GPU; a line on standard output from below Python."""
    import torch

    os.write(1, b"said to standard output\n")
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    (folder / "process.txt").write_text(f"{os.getpid()} {torch.get_num_threads()} {seen}")


def tell_pid(folder: Path) -> None:
    (folder / "pid").write_text(str(os.getpid()))


def die(folder: Path, times: int) -> None:
    """Killed at first, then done; each attempt leaves a line."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "attempts.txt", "a") as handle:
        handle.write("once\n")
    if len((folder / "attempts.txt").read_text().splitlines()) <= times:
        # a child, as a data loader has them, holds the worker's pipes
        if os.fork() == 0:
            time.sleep(60)
        os.kill(os.getpid(), signal.SIGKILL)


def sleep_for_long(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(120)


def job(folder: Path, call, *arguments, **more) -> Job:
    return Job(folder.name, call, (folder, *arguments), folder, **more)


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "log.txt"
    }


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process ends in time; a zombie that nobody has collected is at its end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_workers_leave_what_this_process_leaves_and_failures_stay_alone(tmp_path, capfd):
    def jobs(root: Path) -> list[Job]:
        good = [job(root / f"good-{number}", count_up, 3, units=3) for number in range(4)]
        bad = [
            job(root / "mistake", fail, FeatmaskError("the loss is not finite")),
            job(root / "accident", fail, RuntimeError("first line\nsecond line")),
            job(root / "exit", fail, SystemExit(3)),
        ]
        return [good[0], *bad, *good[1:]]

    failed = {
        "mistake": "the loss is not finite",
        "accident": "RuntimeError: second line",
        "exit": "SystemExit: 3",
    }
    assert run_jobs(jobs(tmp_path / "one"), Executor()) == failed
    assert run_jobs(jobs(tmp_path / "two"), Executor(workers=2)) == failed
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    traces = [one.pop("accident/error.txt"), two.pop("accident/error.txt")]
    assert all(b"first line\nsecond line" in trace and b"in fail" in trace for trace in traces)
    assert [b"SystemExit" in found.pop("exit/error.txt") for found in (one, two)] == [True, True]
    assert "mistake/error.txt" not in one
    assert one == two
    assert one["good-3/result.txt"] == b"good-3: 3"
    stderr = capfd.readouterr().err
    assert stderr.count("[3/7] accident failed (0:00:00): RuntimeError: second line\n") == 2
    assert stderr.count("[1/7] good-0: started\n[1/7] good-0: done (0:00:00)\n") == 1  # of one after the other


def test_a_worker_serves_on_unless_something_unforeseen_happened_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "share", lambda workers: [{}])  # one worker, so that all come to it in order
    calls = [(tell_pid,), (fail, FeatmaskError("a mistake")), (tell_pid,), (fail, RuntimeError()), (tell_pid,)]
    jobs = [job(tmp_path / str(number), *call) for number, call in enumerate(calls)]
    assert run_jobs(jobs, Executor(workers=2)) == {"1": "a mistake", "3": "RuntimeError"}
    first, second, third = ((tmp_path / name / "pid").read_text() for name in "024")
    assert first == second != third


def test_ctrl_c_is_meant_for_all_jobs(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job(tmp_path / "one", fail, KeyboardInterrupt()), job(tmp_path / "two", count_up, 1)])
    assert not (tmp_path / "two").exists()


def test_the_traceback_of_an_earlier_failure_goes_when_a_job_is_done(tmp_path):
    folder = tmp_path / "job"
    assert run_jobs([job(folder, fail, ZeroDivisionError())]) == {"job": "ZeroDivisionError"}
    assert (folder / "error.txt").is_file()
    assert run_jobs([job(folder, count_up, 1)]) == {}
    assert not (folder / "error.txt").exists()


def test_threads_and_gpus_are_shared_out_and_output_goes_to_the_log(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(machine, "cores", lambda: 7)  # seven cores, three workers
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    shares = machine.share(3)
    assert [(one["OMP_NUM_THREADS"], one["CUDA_VISIBLE_DEVICES"]) for one in shares] == [
        ("2", "4"), ("2", "GPU-5"), ("2", "4")
    ]  # fmt: skip
    assert {one["OMP_NUM_THREADS"] for one in machine.share(9)} == {"1"}  # never none
    monkeypatch.setattr(machine, "cores", lambda: 3)  # one each, where torch would take all that there are
    jobs = [job(tmp_path / f"job-{number}", tell_process) for number in range(2)]
    assert run_jobs(jobs, Executor(workers=2)) == {}
    told = [(one.folder / "process.txt").read_text().split() for one in jobs]
    assert [threads for _, threads, _ in told] == ["1", "1"]
    assert str(os.getpid()) not in [pid for pid, _, _ in told]
    assert all(seen in ("4", "GPU-5") for _, _, seen in told)
    assert [(one.folder / "log.txt").read_text() for one in jobs] == ["said to standard output\n"] * 2
    assert "said to" not in "".join(capfd.readouterr())
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(machine, "cores", lambda: 7)
    assert machine.share(2)[0]["MKL_NUM_THREADS"] == "1"  # a user's own limit stays
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES" not in machine.share(2)[0]


@pytest.mark.parametrize(
    ("files", "whole"),
    [
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_containers_quota_is_read(tmp_path, files, whole):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine._quota(tmp_path) == whole


def test_a_job_whose_worker_is_killed_goes_on_in_another(tmp_path):
    jobs = [
        job(tmp_path / "once", die, 1),
        job(tmp_path / "always", die, 99),
        *(job(tmp_path / f"good-{number}", count_up, 2) for number in range(2)),
    ]
    start = time.monotonic()
    failed = run_jobs(jobs, Executor(workers=2, retries=1))
    assert time.monotonic() - start < 30  # the children that the dead have left hold nobody up
    assert list(failed) == ["always"]
    assert failed["always"].startswith("its worker died 2 times, the last one by SIGKILL")
    attempts = {name: (tmp_path / name / "attempts.txt").read_text().split() for name in ("once", "always")}
    assert attempts == {"once": ["once"] * 2, "always": ["once"] * 2}
    assert all((one.folder / "result.txt").is_file() for one in jobs[2:])


DRIVER = """
import sys, time
from pathlib import Path
import test_jobs
from featmask.jobs import Executor, run_jobs
root = Path(sys.argv[1])
jobs = [test_jobs.job(root / f"job-{number}", test_jobs.sleep_for_long) for number in range(3)]
try:
    run_jobs(jobs, Executor(workers=2))
except KeyboardInterrupt:
    print("stopped", flush=True)
    time.sleep(60)  # a notebook, say, lives on
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_parent_leaves_no_orphans(tmp_path, kind):
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},  # torch need not be asked
        # a shell's background jobs ignore Ctrl-C, and so would this child of theirs
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    try:
        deadline = time.monotonic() + 60
        while len(pids := [path.read_text() for path in tmp_path.glob("*/pid")]) < 2 or "" in pids:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(kind)
        if kind != signal.SIGINT:
            assert process.wait(20) == -kind
        assert len(pids) == 2
        assert all(gone(int(pid)) for pid in pids)
        assert not list(tmp_path.glob("job-2/*"))
    finally:
        process.kill()
    assert process.communicate()[0] == (b"stopped\n" if kind == signal.SIGINT else b"")


def test_a_job_that_no_worker_can_read_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    import test_jobs

    def inner(folder):
        """Found by its name here, and by nobody else."""

    inner.__module__, inner.__qualname__ = "test_jobs", "not_there"
    monkeypatch.setattr(test_jobs, "not_there", inner, raising=False)
    failed = run_jobs([job(tmp_path / "bad", inner), job(tmp_path / "good", count_up, 1)], Executor(workers=2))
    assert list(failed) == ["bad"]
    assert "not_there" in failed["bad"]
    assert (tmp_path / "good" / "result.txt").is_file()


def test_names_and_folders_are_unique_and_settings_are_checked(tmp_path):
    one = job(tmp_path / "same", count_up, 1)
    with pytest.raises(FeatmaskError, match="twice came same"):
        run_jobs([one, one])
    for wrong in ({"kind": "slurm"}, {"workers": 0}, {"retries": -1}, {"gpus": 1.5}, {"cpus": -1}):
        with pytest.raises(FeatmaskError, match=f"{'jobs' if 'kind' in wrong else next(iter(wrong))}: expected"):
            Executor(**wrong)
    assert run_jobs([]) == {}


def test_an_argument_that_is_the_folder_moves_with_the_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = Job("a", count_up, (Path("here"), "here", tmp_path / "here", 3), Path("here"))
    moved = relative.moved(tmp_path / "there")
    assert moved.arguments == (tmp_path / "there", "here", tmp_path / "there", 3)
    assert moved.folder == tmp_path / "there"


def test_lines_tell_how_far_all_is_at_most_once_a_minute(tmp_path, capfd, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    jobs = [job(tmp_path / f"job-{number}", count_up, 10, units=10) for number in range(3)]
    count_up(jobs[0].folder, 4)  # of an earlier call: it tells nothing of the speed
    lines = progress._Lines(overview.QUIET)
    with lines.bar("all", 30, 4) as bar:
        view = Overview(jobs, {"job-0": 4, "job-1": 0, "job-2": 0}, lines, bar)
        view.started(jobs[0])
        view.started(jobs[1])
        for second in range(1, 131):
            clock[0] = 1000.0 + second
            if second % 13 == 0:
                count_up(jobs[1].folder, second // 13)
            view.look()
        view.ended(jobs[1], None)
        view.ended(jobs[0], "no memory")
        clock[0] += 60
        view.started(jobs[2])
    assert capfd.readouterr().err.splitlines() == [
        "[1/3] job-0: started",
        "[2/3] job-1: started",
        # four steps in a minute; 22 are left
        "all: 8/30 2 running, about 0:05:30 left",
        "all: 13/30 2 running, about 0:03:47 left",
        "[2/3] job-1: done (0:02:10)",
        "[1/3] job-0 failed (0:02:10): no memory",
        "[3/3] job-2: started",
        "all: 20/30 1 done, 1 failed, 1 running, about 0:01:59 left",
    ]
    assert view.failed == {"job-0": "no memory"}


def test_a_terminal_shows_all_jobs_and_what_runs_inside_them_in_one_place(tmp_path, monkeypatch):
    console = pytest.importorskip("rich.console")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    assert console.Console(stderr=True).is_terminal
    shown: list[list[str]] = []

    def inside(folder: Path) -> None:
        count_up(folder, 3)
        with progress.progress("epoch 4", 5) as bar:
            bar.advance(2)
            view.look()
            (live,) = progress._open
            shown.append([f"{task.description} {task.completed:g}/{task.total}" for task in live.shown.tasks])

    jobs = [
        Job("a", inside, (tmp_path / "a",), tmp_path / "a", units=4),
        job(tmp_path / "b", fail, FeatmaskError("no")),
    ]
    with overview.overview(jobs) as view:
        for one in jobs:
            view.started(one)
        jobs[0].call(*jobs[0].arguments)
        view.ended(jobs[0], None)
        view.ended(jobs[1], "no")
        (live,) = progress._open
        assert [(task.description, task.completed, task.fields["note"]) for task in live.shown.tasks] == [
            ("all", 5, "1 done, 1 failed")
        ]
    assert shown == [["all 3/5", "a 3/4", "b 0/1", "epoch 4 2/5"]]
    assert "[2/2] b failed" in terminal.getvalue()
    assert progress._open == []


def test_a_bundle_is_put_in_place_whole(tmp_path):
    source = tmp_path / "source"
    (source / "eval").mkdir(parents=True)
    (source / "eval" / "clean.json").write_text("{}")
    (source / ".half.tmp").write_text("half")
    (source / "link").symlink_to("/etc/passwd")
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").touch()
    put_in_place(pack(source), target)
    assert contents(target) == {"eval/clean.json": b"{}"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/../out"])
def test_a_bundle_writes_nowhere_else(tmp_path, name):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    (tmp_path / "in").mkdir()
    with pytest.raises(FeatmaskError, match=r"came back damaged: .*outside"):
        put_in_place(packed.getvalue(), tmp_path / "in")
    assert [path.name for path in tmp_path.rglob("*")] == ["in"]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("/out"))
    unpack(packed.getvalue(), tmp_path / "in")  # within the folder, whatever it says
    assert contents(tmp_path) == {"in/out": b""}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_bundle_holds_plain_files_alone(tmp_path, kind):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(FeatmaskError, match="no plain file"):
        unpack(packed.getvalue(), tmp_path)
    with pytest.raises(FeatmaskError, match="damaged"):
        unpack(b"no tar" * 200, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_jobs_are_known_without_torch():
    code = "import sys, featmask.jobs, featmask.jobs.worker; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False"]
