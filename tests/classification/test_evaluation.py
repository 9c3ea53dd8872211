"""Evaluation: figures against their definitions, and set-ups that would give wrong ones refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from featmask import LocalFeatureMasking, Normalized, attach
from featmask.classification.suites import SuiteOptions, evaluate
from featmask.classification.suites.figures import clean_figures
from featmask.errors import FeatmaskError
from featmask.stats.calibration import calibration_error


class Table(nn.Module):
    """Gives each image the logits that its first pixels spell."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :3] * 10


@pytest.fixture
def data():
    return TensorDataset(torch.rand(50, 1, 4, 4), torch.randint(3, (50,)))


def test_clean_figures_equal_their_definitions(data):
    result = evaluate(Table(), data, batch_size=7)
    x, y = data.tensors
    logits = x.flatten(1)[:, :3] * 10
    probabilities, predicted = logits.softmax(1), logits.argmax(1)
    metrics = result.suite.metrics
    assert metrics["accuracy"] == pytest.approx((predicted == y).float().mean().item())
    assert metrics["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, predicted))
    assert metrics["nll"] == pytest.approx(-probabilities.log()[range(50), y].mean().item(), rel=1e-5)
    assert result.samples["predicted"].tolist() == predicted.tolist()
    assert result.samples["index"].tolist() == list(range(50))
    assert result.suite.n == 50


def test_calibration_error_by_hand():
    # bins of 1/2: {0.3, 0.5} with accuracy 1/2, {0.9} with accuracy 1
    error = calibration_error(np.array([0.3, 0.5, 0.9]), np.array([True, False, True]), bins=2)
    assert error == pytest.approx(2 / 3 * abs(0.5 - 0.4) + 1 / 3 * abs(1 - 0.9))


def test_perfect_calibration_is_zero_and_certain_wrong_is_one():
    assert calibration_error(np.ones(5), np.ones(5, bool)) == 0
    assert calibration_error(np.ones(5), np.zeros(5, bool)) == 1


@pytest.mark.filterwarnings("error")
def test_balanced_accuracy_and_auroc_are_those_of_naive_loops():
    rng = np.random.default_rng(0)
    for decimals in (1, 9):  # with many ties, and without
        labels, predicted = rng.choice([0, 2, 5], 40), rng.integers(0, 7, 40)  # some classes do not occur
        sure, other = rng.random(40).round(decimals), rng.random(25).round(decimals)
        blank = np.zeros(40)
        columns = {"label": labels, "predicted": predicted, "confidence": sure, "brier": blank, "nll": blank}
        found = clean_figures(columns | {"correct": (labels == predicted).astype(int)}, other)
        shares = [np.mean([p == c for p, y in zip(predicted, labels, strict=True) if y == c]) for c in (0, 2, 5)]
        assert found["balanced_accuracy"] == pytest.approx(np.mean(shares), abs=1e-12)
        pairs = [(a > b) + 0.5 * (a == b) for a in sure for b in other]
        assert found["ood_auroc"] == pytest.approx(np.mean(pairs), abs=1e-12)


def test_outcomes_are_the_worst_case_and_agree_with_the_figures(data):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    options = SuiteOptions(eps=("0/255", "8/255", "64/255"), attacks=("fgsm", "pgd"), steps=5, refine=0)
    result = evaluate(model, data, "linf", options=options)
    samples, metrics = result.samples, result.suite.metrics
    # eps = 0 is the clean accuracy exactly
    assert samples["pgd@0/255"].tolist() == samples["clean"].tolist()
    for eps in ("8/255", "64/255"):
        worst = samples["clean"] & samples[f"fgsm@{eps}"] & samples[f"pgd@{eps}"]
        assert samples[f"worst@{eps}"].tolist() == worst.tolist()
        assert metrics[f"worst@{eps}"] == pytest.approx(worst.mean())
    assert metrics["clean"] >= metrics["worst@8/255"] >= metrics["worst@64/255"]
    assert "upper bound" in result.suite.warnings[0]


def test_a_loader_and_a_limit_give_the_same_samples(data):
    whole = evaluate(Table(), data)
    some = evaluate(Table(), DataLoader(data, batch_size=8), limit=20)
    assert some.suite.n == 20
    assert some.samples["predicted"].tolist() == whole.samples["predicted"][:20].tolist()


def test_eval_mode_reaches_every_submodule_and_is_put_back(data):
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))
    attach(model, LocalFeatureMasking(1.0), at="0", example=data.tensors[0][:2])
    model.train()
    model[1].eval()
    model[3].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    options = SuiteOptions(eps=("4/255",), steps=2, refine=0)
    evaluate(model, data, "linf", options=options)  # refused if the mask were still on
    assert model.training
    assert not model[1].training
    assert model[0].weight.requires_grad
    assert not model[3].weight.requires_grad
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


class Random(Table):
    def forward(self, x):
        return super().forward(x) + torch.randn(len(x), 3)


class Broken(Table):
    def forward(self, x):
        return super().forward(x) / 0


@pytest.mark.parametrize(
    ("model", "images", "labels", "message"),
    [
        (Table(), torch.randn(4, 1, 4, 4), [0, 1, 2, 0], r"pixels in \[0, 1\]"),
        (Table(), torch.full((4, 1, 4, 4), float("nan")), [0, 1, 2, 0], r"pixels in \[0, 1\]"),
        (Table(), torch.rand(4, 1, 4, 4), [0, 1, 2, 3], "the model has 3 classes"),
        (Random(), torch.rand(4, 1, 4, 4), [0, 1, 2, 0], "still random"),
        (Broken(), torch.rand(4, 1, 4, 4), [0, 1, 2, 0], "not finite"),
        (nn.Identity(), torch.rand(4, 1, 4, 4), [0, 1, 2, 0], "logits of shape"),
        (Table(), torch.rand(0, 1, 4, 4), [], "empty"),
        (Table(), torch.randint(256, (4, 1, 4, 4), dtype=torch.uint8), [0, 1, 2, 0], "divide 8-bit pixels by 255"),
        (Table(), torch.rand(4, 16), [0, 1, 2, 0], r"pixels \(N, C, H, W\)"),
    ],
)
def test_wrong_set_ups_are_refused(model, images, labels, message):
    with pytest.raises(FeatmaskError, match=message):
        evaluate(model, TensorDataset(images, torch.tensor(labels, dtype=torch.long)))


def test_unknown_suite(data):
    with pytest.raises(FeatmaskError, match="clean, linf"):
        evaluate(Table(), data, "everything")


def test_labels_and_weights_of_a_wrong_kind_are_refused(data):
    x = data.tensors[0]
    with pytest.raises(FeatmaskError, match="one whole-numbered label"):
        evaluate(Table(), TensorDataset(x, torch.rand(50)))
    half = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).to(torch.bfloat16)
    with pytest.raises(FeatmaskError, match=r"model.float\(\)"):
        evaluate(half, data)
    with pytest.raises(FeatmaskError, match="meta device"):
        evaluate(nn.Sequential(nn.Flatten(), nn.Linear(16, 3, device="meta")), data)


def test_brier_score_and_auroc_by_their_definitions(data):
    x, y = data.tensors
    far = TensorDataset(torch.full((20, 1, 4, 4), 0.5), torch.full((20,), 77))  # equal logits: as unsure as can be
    result = evaluate(Table(), data, ood=far, ood_name="grey")
    chances = (x.flatten(1)[:, :3] * 10).double().softmax(1)
    right = torch.zeros(50, 3).double()
    right[range(50), y] = 1
    assert result.suite.metrics["brier"] == pytest.approx(((chances - right) ** 2).sum(1).mean().item())
    assert result.suite.metrics["ood_auroc"] == 1
    assert (result.suite.settings["ood"], result.suite.settings["ood_n"]) == ("grey", 20)


def test_normalisation_inside_equals_normalisation_outside():
    inner = nn.Conv2d(3, 2, 1)
    model = Normalized(inner, [0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    x = torch.rand(2, 3, 4, 4)
    outside = torch.stack([(x[:, c] - m) / s for c, (m, s) in enumerate([(0.1, 0.5), (0.2, 0.6), (0.3, 0.7)])], 1)
    assert torch.allclose(model(x), inner(outside))
    grey = torch.rand(2, 1, 4, 4)
    assert torch.equal(model(grey), model(grey.repeat(1, 3, 1, 1)))
    with pytest.raises(FeatmaskError, match="positive std"):
        Normalized(inner, [0.1], [0.0])
