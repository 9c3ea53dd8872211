"""One model trained by several processes: it equals the single process's, and a kill, a failure and files are handled.

Processes are started as users start them, by torchrun and accelerate launch.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from itertools import chain, combinations
from pathlib import Path

import pytest
import torch

from featmask.errors import FeatmaskError, FeatmaskWarning
from featmask.study.fields import open_task, read_recipe
from featmask.study.run import make_model, train_run
from featmask.training import processes, seed_everything

pytest.importorskip("accelerate")

#: Largest difference of a weight after two epochs (40 steps). Only the order of float32 sums differs: 3e-7 was measured
#: with two processes and with three.
BOUND = 1e-5

#: ConvNeXt has LayerNorm and no BatchNorm: no statistic spans a batch.
RECIPE = """
name: shared
data: {name: digits, augment: [shift], size: 32}
model: {name: test_convnext}
train: {epochs: 2, batch_size: 60, lr: 0.05, warmup_epochs: 1}
methods: {none: , lfm: {at: stages.0}}
evaluate: {suites: [clean]}
"""

#: Runs the command line and tells what happened: what was written, and what each step saw and masked.
WORKER = """
import json, os, sys
import torch
from featmask import LocalFeatureMasking
from featmask.cli import main
from featmask.errors import FeatmaskError
from featmask.training import loop as training

rank, notes = int(os.environ.get("RANK", 0)), {"written": [], "steps": []}
replace, step, epoch = os.replace, training.Epochs._step, training.Epochs.epoch

def replacing(source, goal):
    notes["written"].append(os.path.basename(goal))
    replace(source, goal)

def stepping(self, pixels, labels, weights, scale):
    found = step(self, pixels, labels, weights, scale)
    masks = [m.last_mask for m in self.taught.modules() if isinstance(m, LocalFeatureMasking)]
    masked = [mask.flatten(1).sum(1).tolist() for mask in masks]
    sums = pixels.double().sum((1, 2, 3)).tolist()
    notes["steps"].append({"images": [sums, labels.tolist()], "masked": masked, "seed": torch.initial_seed()})
    return found

def failing(self, number, title):
    if number == 1 and os.environ.get("FAILS") == str(rank):
        raise FeatmaskError("broken on purpose")
    return epoch(self, number, title)

os.replace, training.Epochs._step, training.Epochs.epoch = replacing, stepping, failing
try:
    main()
finally:
    with open(f"{os.environ['NOTES']}.{rank}", "w") as file:
        json.dump(notes, file)
"""

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
#: Three are the fewest whose sums depend on the order in which they are taken.
THREE = (*TORCHRUN[:-1], "3")
FEWER = ("data.train_share=0.3", "train.epochs=3")


def accelerate_launch() -> tuple[str, ...]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    # --multi_gpu is what makes it start processes; without a GPU they compute on the CPU
    return ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
            "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(port))  # fmt: skip


class Bench:
    """A folder with a recipe; trains by so many processes, and remembers what they noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "recipe.yaml").write_text(RECIPE)
        (folder / "worker.py").write_text(WORKER)

    def start(
        self, name: str, method: str, launcher: tuple[str, ...] = (), *changes: str, **env: str
    ) -> subprocess.Popen:
        module = ["-m", *launcher] if launcher else []
        verb = ["train", "recipe.yaml", "--method", method, *(f"--set={change}" for change in changes)]
        return subprocess.Popen(
            [sys.executable, *module, "worker.py", *verb, "--out", name],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "NOTES": str(self.folder / f"{name}.json"), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def train(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        started = self.start(*arguments, **more)
        stdout, stderr = started.communicate(timeout=120)
        return started.returncode, stdout, stderr

    def run(self, name: str) -> Path:
        (run,) = (self.folder / name).glob("shared/*/*/seed-0")
        return run

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        return pytest.importorskip("safetensors.torch").load_file(self.run(name) / "model.safetensors")

    def notes(self, name: str, rank: int) -> dict:
        return json.loads((self.folder / f"{name}.json.{rank}").read_text())


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("bench"))


def done(found: tuple[int, str, str]) -> str:
    code, stdout, stderr = found
    assert code == 0, stderr
    return stdout


@pytest.fixture(scope="module")
def alone(bench):
    done(bench.train("alone", "none"))
    return "alone"


@pytest.fixture(scope="module")
def pair(bench):
    stdout = done(bench.train("pair", "none", accelerate_launch()))
    assert stdout.count("checkpoint:") == 1
    return "pair"


@pytest.fixture(scope="module")
def masked(bench):
    done(bench.train("masked", "lfm", THREE, *FEWER))
    return "masked"


@pytest.mark.slow
def test_two_processes_equal_one(bench, alone, pair):
    whole, shared = bench.weights(alone), bench.weights(pair)
    assert whole.keys() == shared.keys()
    assert max(float((whole[name] - shared[name]).abs().max()) for name in whole) <= BOUND
    logs = [[json.loads(line) for line in (bench.run(name) / "train.jsonl").open()] for name in (alone, pair)]
    for first, second in zip(*logs, strict=True):
        assert second == pytest.approx({**first, "seconds": second["seconds"]}, rel=1e-4)
    assert logs[0][-1]["val_accuracy"] > 0.7


@pytest.mark.slow
def test_files_are_written_once_and_are_the_single_processs(bench, alone, pair):
    def files(name):
        found = [str(path.relative_to(bench.run(name))) for path in bench.run(name).rglob("*.*")]
        return sorted(path for path in found if not path.startswith("tb/"))  # TensorBoard's names hold the time

    assert files(alone) == files(pair)
    assert bench.notes(alone, 0)["written"] == bench.notes(pair, 0)["written"]
    assert bench.notes(pair, 1)["written"] == []
    assert len(list((bench.run(pair) / "tb").iterdir())) == 1


@pytest.mark.slow
def test_processes_see_parts_of_the_same_batches_under_masks_of_their_own(bench, masked):
    steps = list(zip(*(bench.notes(masked, rank)["steps"] for rank in range(3)), strict=True))
    recipe = read_recipe(bench.folder / "recipe.yaml", FEWER)
    task = open_task(recipe)
    lesson = task.training_task(recipe, make_model(recipe, task, 0), 0)
    whole, loader = [], lesson.loader(recipe.train)
    for lesson.order.epoch in range(3):
        whole += [(pixels.double().sum((1, 2, 3)).tolist(), labels.tolist()) for pixels, labels, _, _ in loader]
    # the pixels are augmented at random: by the same draws, wherever a sample is seen
    assert [
        tuple(list(chain(*parts)) for parts in zip(*(own["images"] for own in step), strict=True)) for step in steps
    ] == whole
    # of methods that draw from torch's generators, which know of no ranks
    assert all(len({own["seed"] for own in step}) == 3 for step in steps)
    # with p = 0.15 about 54 samples of a process are masked, by a number of values that hardly ever repeats
    masks = [[count for step in steps for count in step[rank]["masked"][0]] for rank in range(3)]
    assert all(0.08 < sum(count > 0 for count in own) / len(own) < 0.22 for own in masks)
    assert all(sum(a == b > 0 for a, b in zip(*two, strict=True)) <= 3 for two in combinations(masks, 2))


@pytest.mark.slow
def test_a_killed_run_ends_bit_for_bit_like_an_uninterrupted_one(bench, masked):
    started = bench.start("killed", "lfm", THREE, *FEWER)
    deadline = time.monotonic() + 60
    while not list((bench.folder / "killed").rglob("last.pt")):
        assert time.monotonic() < deadline
        assert started.poll() is None, started.communicate()
        time.sleep(0.02)
    # the launcher gives each process a session of its own: a kill must find them
    for pid in (started.pid, *descendants(started.pid)):
        os.kill(pid, signal.SIGKILL)
    started.communicate()
    assert not (bench.run("killed") / "model.safetensors").exists()
    done(bench.train("killed", "lfm", THREE, *FEWER))
    whole, resumed = bench.weights(masked), bench.weights("killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not list(bench.folder.rglob("*.tmp"))
    # done is done, for every process
    again = done(bench.train("killed", "lfm", THREE, *FEWER))
    assert again.count("checkpoint:") == 1
    assert [bench.notes("killed", rank)["steps"] for rank in range(3)] == [[], [], []]


def descendants(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            child = int(stat.parent.name)
            found += [child, *descendants(child)]
    return found


@pytest.mark.slow
def test_one_failure_ends_all_with_its_message(bench):
    code, stdout, stderr = bench.train("failing", "none", TORCHRUN, FAILS="1")  # and nobody waits for who is gone
    assert code != 0
    assert stdout == ""
    assert stderr.count("featmask: broken on purpose") == 1
    # what torchrun prints itself begins otherwise
    assert "[rank0]: Traceback" not in stderr
    assert not (bench.run("failing") / "model.safetensors").exists()


def test_batches_that_cannot_be_shared_are_refused_before_a_folder_is_made(recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr("featmask.training.loop.count", lambda: 3)
    recipe = read_recipe(recipe_file)
    with pytest.raises(FeatmaskError, match="3 processes cannot share a batch of 64 images out equally"):
        train_run(recipe, "none", 0, tmp_path / "run", open_task(recipe), "cpu")
    assert not (tmp_path / "run").exists()


def test_a_single_process_is_its_own_main_one():
    with processes.together("cpu") as main:
        assert main
        assert (processes.count(), processes.rank()) == (1, 0)
        assert processes.from_main("here") == "here"
        with processes.main_first():
            pass
        assert processes.totals(1, 2.5, device=torch.device("cpu")) == [1, 2.5]
    loss = torch.tensor(3.0)
    assert processes.part_of_the_mean(loss, torch.ones(2)) is loss


def test_parts_of_a_weighted_mean_add_up(monkeypatch):
    """The mean over the processes of each one's part is the weighted mean over all samples; and so are gradients."""
    generator = torch.Generator().manual_seed(0)
    losses, weights = (torch.rand(3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    monkeypatch.setattr(processes, "count", lambda: 3)
    monkeypatch.setattr(processes, "_summed", lambda own: weights.sum())
    parts = [
        processes.part_of_the_mean((own * weight).sum() / weight.sum(), weight)
        for own, weight in zip(losses, weights, strict=True)
    ]
    assert float(sum(parts) / 3) == pytest.approx(float((losses * weights).sum() / weights.sum()), rel=1e-12)
    nothing = torch.zeros(4)
    monkeypatch.setattr(processes, "_summed", lambda own: own)
    assert processes.part_of_the_mean(torch.tensor(0.0), nothing) == 0


def test_processes_draw_for_themselves_and_the_first_as_a_single_one():
    draws = []
    for process in (0, 1, 2):
        seed_everything(3, 1, process)
        draws.append(torch.rand(4))
    seed_everything(3, 1)
    assert torch.equal(draws[0], torch.rand(4))
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])


def test_work_for_one_process_is_refused_to_many(monkeypatch):
    processes.alone("compare")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(FeatmaskError, match=r"compare is work for one process, and a launcher has started 2.*train"):
        processes.alone("compare")


def test_a_launcher_that_starts_one_process_where_several_were_asked_for_is_told(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    with processes.together("cpu"):
        pass
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.warns(FeatmaskWarning, match="one process on a CPU.*torchrun"), processes.together("cpu"):
        pass


def test_a_device_that_processes_cannot_share(monkeypatch):
    """No launcher's variables but the size: accelerate finds nothing to join."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes, "on_cpu", lambda device: False)
    refused = pytest.raises(FeatmaskError, match="2 processes were started that cannot train together on mps")
    with refused, processes.together("mps"):
        pass
