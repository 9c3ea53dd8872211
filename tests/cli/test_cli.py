"""The command line end to end, as a user calls it: results, exit codes, and no traceback for a user's mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli_help import featmask


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """One comparison that several tests look at."""
    folder = tmp_path_factory.mktemp("study")
    recipe = folder / "tiny.yaml"
    recipe.write_text(
        """
name: tiny
data: {name: digits}
model: {name: resnet8}
train: {epochs: 2, batch_size: 128, lr: 0.1}
methods: {none: , lfm: , cutout: }
seeds: 2
evaluate: {eps: [8/255], steps: 3, attack_samples: 60}
"""
    )
    done = featmask("compare", recipe, "--out", folder / "runs", "--methods", "none,lfm", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    return folder, recipe, done


def test_a_comparison_leaves_what_the_design_says(study):
    folder, _, done = study
    (key,) = (folder / "runs" / "tiny").iterdir()
    for method in ("none", "lfm"):
        for seed in (0, 1):
            names = {
                str(p.relative_to(key / method / f"seed-{seed}")) for p in (key / method / f"seed-{seed}").rglob("*")
            }
            assert names >= {
                "recipe.yaml", "env.json", "train.jsonl", "run.json", "model.safetensors", "tb",
                "eval/clean.json", "eval/clean.samples.csv", "eval/linf.json", "eval/linf.samples.csv",
            }  # fmt: skip
            assert not any("tmp" in name or name.startswith("state") for name in names)
    for name in ("report.html", "report.md", "table.csv", "table.tex", "comparison.json", "pictures/masks.png"):
        assert (key / name).stat().st_size > 100
    assert "lfm" in done.stdout
    assert "report.html" in done.stdout


def test_a_second_call_repeats_nothing_and_a_new_method_only_itself(study):
    folder, recipe, _ = study
    arguments = ("compare", recipe, "--out", folder / "runs", "--device", "cpu", "--json")
    done = featmask(*arguments, "--methods", "none,lfm")
    assert "4 of 4 runs were finished before" in done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert [(run["method"], run["seed"]) for run in runs] == [("none", 0), ("none", 1), ("lfm", 0), ("lfm", 1)]
    wider = featmask(*arguments, "--seeds", 1)
    assert "2 of 3 runs were finished before" in wider.stderr
    assert [run["method"] for run in json.loads(wider.stdout)["runs"]] == ["none", "lfm", "cutout"]


def test_measuring_anew_does_not_train_anew(study):
    folder, recipe, _ = study
    (key,) = (folder / "runs" / "tiny").iterdir()
    model = key / "none" / "seed-0" / "model.safetensors"
    before = model.stat().st_mtime_ns
    done = featmask("compare", recipe, "--out", folder / "runs", "--methods", "none", "--seeds", 1, "--json",
                    "--set", "evaluate.eps=[16/255]", "--device", "cpu")  # fmt: skip
    assert "linf.pgd@16/255" in json.loads(done.stdout)["runs"][0]["metrics"]
    assert model.stat().st_mtime_ns == before


def test_evaluate_gives_the_figures_of_the_run(study, tmp_path):
    folder, _, _ = study
    checkpoint = next((folder / "runs").rglob("lfm/seed-0/model.safetensors"))
    done = featmask("evaluate", checkpoint, "--suite", "clean", "--json", "--save", tmp_path / "saved")
    (suite,) = json.loads(done.stdout)
    stored = json.loads((checkpoint.parent / "eval" / "clean.json").read_text())
    assert suite["metrics"] == pytest.approx(stored["metrics"])
    ours = (tmp_path / "saved" / "eval" / "clean.samples.csv").read_text().splitlines()
    theirs = (checkpoint.parent / "eval" / "clean.samples.csv").read_text().splitlines()
    assert [row.split(",")[:3] for row in ours] == [row.split(",")[:3] for row in theirs]
    table = featmask("evaluate", checkpoint, "--limit", 30)
    assert "balanced_accuracy" in table.stdout
    assert "30 test" in table.stdout


def test_masks_and_points(study, tmp_path):
    _, recipe, _ = study
    done = featmask("masks", recipe, "--out", tmp_path / "m.png", "--images", 3)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    listed = featmask("points", "resnet8", "--size", 32)
    assert "conv1" in listed.stdout
    assert "layer1" in listed.stdout


def swapped(checkpoint: Path, path: Path) -> None:
    """A checkpoint whose header names another model than its tensors are of."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(checkpoint, "pt") as handle:
        header = handle.metadata()
    header["meta"] = header["meta"].replace("resnet8", "resnet14")
    save_file(load_file(checkpoint), path, metadata=header)


def test_mistakes_end_with_code_2_and_advice(study, tmp_path, fails):
    folder, recipe, _ = study
    fails("compare", tmp_path / "none.yaml", says="cannot read the recipe")
    fails("compare", recipe, "--set", "train.epoch=3", says="known here: epochs")
    fails("compare", recipe, "--methods", "none,magic", says="the family has none, dropout")
    fails("compare", recipe, "--set", "data={name: imagefolder, root: /none, size: 16}", says="no folder /none")
    fails("compare", recipe, "--set", "model.name=resnet_of_nobody", "--out", tmp_path, says="no model")
    fails("compare", recipe, "--set", "at=layer9", "--out", tmp_path, "--methods", "lfm", says="layer9")
    fails("train", recipe, "--device", "quantum", "--out", tmp_path, says="auto, cpu, cuda or mps")
    fails("evaluate", tmp_path / "none.safetensors", says="no checkpoint")
    trained = next((folder / "runs").rglob("lfm/seed-0/model.safetensors"))
    fails("evaluate", trained, "--device", "quantum", says="auto, cpu, cuda or mps")
    checkpoint = next((folder / "runs").rglob("lfm/seed-0/model.safetensors"))
    other = tmp_path / "other.safetensors"
    swapped(checkpoint, other)
    fails("evaluate", other, says="holds another model")
    fails("evaluate", checkpoint, "--suite", "magic", says="unknown suite 'magic'; expected one of: clean, linf")
    fails("masks", recipe, "--methods", "none", "--out", tmp_path / "m.png", says="masks nothing")
    fails("nonsense", says="nonsense")
    fails("compare", recipe, "--seeds", 0, says="seeds")
    # and as a user sees it
    done = featmask("compare", tmp_path / "none.yaml")
    assert (done.returncode, done.stderr.startswith("featmask: cannot read the recipe")) == (2, True)


def test_one_failed_run_does_not_take_the_others_along(study, tmp_path):
    _, recipe, _ = study
    done = featmask("compare", recipe, "--out", tmp_path, "--seeds", 1, "--methods", "none,broken", "--device", "cpu",
                    "--set", "methods.broken={layer: dropout, set: {train.lr: 1e30}}")  # fmt: skip
    assert done.returncode == 2
    assert "broken, seed 0" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.rglob("none/seed-0/run.json"))
    assert list(tmp_path.rglob("report.html"))


def test_a_full_disk_is_an_error_with_nothing_half_written(study, tmp_path):
    """A limit on the size of files stands in for a full disk: both end a write with an OSError."""
    _, recipe, _ = study
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); from featmask.cli import main;"
        f"sys.argv = ['featmask', 'train', {str(recipe)!r}, '--out', {str(tmp_path / 'runs')!r}, '--device', 'cpu'];"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("run.json"))
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.rglob("last.pt"))


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("kind", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_a_run_that_is_stopped_goes_on_and_ends_where_it_would_have(study, tmp_path, kind):
    _, recipe, _ = study
    arguments = ["train", str(recipe), "--method", "lfm", "--device", "cpu", "--set", "train.epochs=12"]
    command = [sys.executable, "-m", "featmask.cli", *arguments, "--out", str(tmp_path / "stopped")]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # a shell's background jobs ignore Ctrl-C, and so would this child of theirs
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "stopped").rglob("last.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(kind)
    _, stderr = process.communicate()
    assert process.returncode == (130 if kind == signal.SIGINT else -signal.SIGKILL)
    assert b"Traceback" not in stderr
    assert not list((tmp_path / "stopped").rglob("run.json"))
    resumed = featmask(*arguments, "--out", tmp_path / "stopped", "--json")
    whole = featmask(*arguments, "--out", tmp_path / "whole", "--json")
    assert json.loads(resumed.stdout)["metrics"] == json.loads(whole.stdout)["metrics"]


def test_help_is_quick_and_complete():
    start = time.monotonic()
    done = featmask("--help")
    assert time.monotonic() - start < 5
    for verb in ("compare", "train", "evaluate", "masks", "points"):
        assert verb in done.stdout
    assert featmask("--version").stdout.strip() == "0.1.0"
