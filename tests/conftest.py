"""What several tests need: a tiny recipe, tiny images on disk, and few threads, so that tests don't fight for cores."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _repeatable():
    """A fixed seed; and one thread, since tensors of some KB gain nothing from a second and wait for it."""
    before = torch.get_num_threads()
    torch.manual_seed(1234)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def call(monkeypatch, capfd):
    """Call the command line in this process (a new one costs seconds): exit code, standard output, standard error."""
    from featmask.cli.application import main

    def call(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["featmask", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capfd.readouterr()

    return call


@pytest.fixture
def fails(call):
    """Call the command line; expect code 2, one message, and nothing on standard output."""

    def fails(*arguments: object, says: str) -> None:
        code, stdout, stderr = call(*arguments)
        assert (code, stdout) == (2, ""), stderr
        assert "Traceback" not in stderr
        assert says in stderr

    return fails


@pytest.fixture
def cuda():
    """A CUDA device; what a test forbids it, waiting for the host, is allowed afterwards."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    yield torch.device("cuda")
    torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def fresh_compiler():
    """Every test compiles for options of its own; together they would pass the limit of recompilations."""
    yield
    torch.compiler.reset()


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """Digits and a small network: an epoch takes a tenth of a second."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        """
name: tiny
data: {name: digits}
model: {name: resnet8}
train: {epochs: 3, batch_size: 64, lr: 0.1, warmup_epochs: 1, tensorboard: false}
methods: {none: , lfm: }
seeds: 1
evaluate: {eps: [8/255], attacks: [fgsm, pgd], steps: 3, refine: 0, attack_samples: 60}
"""
    )
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """An empty cache of rendered sets, a module's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATMASK_CACHE", str(folder))
        yield folder


class Killed(Exception):
    """What a kill looks like from inside."""


@pytest.fixture
def killed_after_two_epochs():
    """A block whose training must be ended by a kill when its third epoch begins."""
    from featmask.training import loop as training

    epoch = training.Epochs.epoch

    def killing(self, number, title):
        if number == 2:
            raise Killed
        return epoch(self, number, title)

    @contextmanager
    def block():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training.Epochs, "epoch", killing)
            with pytest.raises(Killed):
                yield

    return block


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Two classes of 16 small PNG files each: bright and dark."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name, low in (("bright", 150), ("dark", 0)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for i in range(16):
            pixels = rng.integers(low, low + 100, (20, 24, 3), dtype=np.uint8)
            image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return tmp_path / "photos"
