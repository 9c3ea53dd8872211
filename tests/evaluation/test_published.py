"""Published corrupted images: what is kept after a kill is taken by the same model alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from featmask.classification.suites import evaluate_published
from featmask.data import CorruptedSet, Photos
from oracles.search import QUERY, make_side

CELLS = [("fog", 1), ("fog", 3), ("snow", 1), ("snow", 3)]


class Set(CorruptedSet):
    """Notes which cells are read; a kill comes at one of them."""

    name, kinds, severities, table, classes = "cifar10-c", ("fog", "snow"), (1, 3), "cifar", ()

    def __init__(self, killed_at: tuple[str, int] | None = None) -> None:
        self.read, self.killed_at = [], killed_at

    def _images(self, kind: str, severity: int) -> Photos:
        if (kind, severity) == self.killed_at:
            raise KeyboardInterrupt
        self.read.append((kind, severity))
        return make_side(QUERY, f"{kind}{severity}").photos


def model(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10))


@pytest.mark.parametrize(("other", "left"), [(False, CELLS[2:]), (True, CELLS)])
def test_a_killed_suite_goes_on_with_the_same_model_alone(tmp_path, other, left):
    with pytest.raises(KeyboardInterrupt):
        evaluate_published(model(0), Set(("snow", 1)), folder=tmp_path)
    resumed = Set()
    record = evaluate_published(model(int(other)), resumed, folder=tmp_path)
    assert resumed.read == [CELLS[0], *left], "the first cell is read to look at the model"
    whole = evaluate_published(model(int(other)), Set())
    assert record.suite == whole.suite
    assert all((record.samples[name] == values).all() for name, values in whole.samples.items())
    assert not list(tmp_path.rglob("*.partial.jsonl"))
