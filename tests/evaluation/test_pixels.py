"""Whatever takes pixels refuses those outside [0, 1], NaN among them, and says what to do."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from featmask.attacks import Attack, Stream
from featmask.classification.suites import evaluate
from featmask.data import corrupt
from featmask.errors import FeatmaskError
from featmask.reid.attacks import MetricAttack, perturb, train_misranking
from featmask.reid.evaluation.retrieval import features_of

MODEL = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4))
LABELS = torch.tensor([0, 0, 1, 1])
DOORS = {
    "evaluate": (lambda x: evaluate(MODEL, TensorDataset(x, LABELS)), r"featmask\.Normalized\(model, mean, std\)"),
    "features": (lambda x: features_of(MODEL, x), r"featmask\.Normalized\(model, mean, std\)"),
    "attack": (lambda x: Attack("fgsm", Fraction(1, 255)).run(MODEL, x, LABELS, Stream(4)), "belongs into the model"),
    "metric attack": (lambda x: perturb(MetricAttack("sma", Fraction(1, 255)), MODEL, x), "belongs into embed"),
    "mis-ranking": (lambda x: train_misranking(MODEL, [(x, LABELS)], steps=1, width=2), "^mis-ranking: .* embed"),
    "corruptions": (lambda x: corrupt(x, "fog", 1, range(4), 0), "before they are normalised"),
}


@pytest.mark.parametrize(("door", "advice"), DOORS.values(), ids=DOORS)
@pytest.mark.parametrize(("wrong", "got"), [(-0.25, "-0.25 to 0.5"), (1.5, "0.5 to 1.5"), (torch.nan, "nan to nan")])
def test_pixels_outside_the_range_are_refused_with_advice(door, advice, wrong, got):
    x = torch.full((4, 3, 8, 8), 0.5)
    door(x)
    x[1, 2, 3, 4] = wrong
    with pytest.raises(FeatmaskError, match=advice) as refused:
        door(x)
    assert f"expected pixels in [0, 1], got {got}" in str(refused.value)
