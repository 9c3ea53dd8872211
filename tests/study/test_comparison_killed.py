"""A comparison that is killed again and again ends with the table of one that was left alone."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time

import pytest

from cli_help import featmask

RECIPE = """
name: tiny
data: {name: digits}
model: {name: resnet8}
train: {epochs: 3, batch_size: 128, lr: 0.1, tensorboard: false}
methods: {none: , dropout2d: , lfm: }
seeds: 2
tune: {at: [stem, layer1], epochs: 1}
evaluate: {suites: [clean, linf], eps: [8/255], steps: 3, refine: 0, attack_samples: 60}
"""


def table(folder):
    """The rows of ``table.csv``, but for what time it took."""
    (path,) = folder.glob("runs/tiny/*/table.csv")
    with open(path, newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) > 20
    return [row for row in rows if row["metric"] != "seconds_per_epoch"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_comparison_that_is_killed_ends_with_the_same_table(tmp_path, workers):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE)
    # threads change the order of sums: the bits are those of one number of threads
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options = ["compare", str(recipe), "--tune", "2", "--device", "cpu", "--workers", str(workers)]
    calm = featmask(*options, "--out", tmp_path / "calm" / "runs")
    assert calm.returncode == 0, calm.stderr

    command = [sys.executable, "-m", "featmask.cli", *options, "--out", str(tmp_path / "killed" / "runs")]
    stopped = 0
    for patience in (8, 10, 12):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(patience)
        if process.poll() is None:
            stopped += 1
            # the whole group with workers=1; with workers the parent alone: they must notice it themselves
            if workers == 1:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(1.0 if workers > 1 else 0.0)
    assert stopped, "nothing was killed: the machine is too fast for this test"
    last = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert table(tmp_path / "killed") == table(tmp_path / "calm")
