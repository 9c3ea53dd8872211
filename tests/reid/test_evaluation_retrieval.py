"""Retrieval: figures against a naive double loop, the record beside them, and set-ups that give wrong ones refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from featmask.data import Photos
from featmask.errors import FeatmaskError
from featmask.records.suite import read_suite
from featmask.reid.evaluation import describe, evaluate_retrieval
from oracles import retrieval_naive
from oracles.search import GALLERY, LENGTH, QUERY, VALID, Linear, make_side, naive_columns, naive_distances, pixels_of

FIGURES = {"rank1": "rank1", "ap": "mAP", "inp": "mINP"}


@pytest.fixture(scope="module")
def sides():
    return make_side(QUERY, "query"), make_side(GALLERY, "gallery")


@pytest.fixture(scope="module")
def model():
    return Linear(unit=True)


def described(model, sides, **options):
    return [describe(model, side, **options) for side in sides]


def distances(model, sides):
    return naive_distances(model, *(pixels_of(side) for side in sides))


def agree(result, expected: dict[str, list[float]], rows=VALID) -> None:
    for column, figure in FIGURES.items():
        assert result.samples[column].tolist() == pytest.approx(expected[column], abs=1e-12)
        assert result.suite.metrics[figure] == pytest.approx(np.mean(expected[column]), abs=1e-12)
    for k in (1, 5, 10, 20):
        assert result.suite.metrics[f"rank{k}"] == pytest.approx(np.mean(np.array(expected["first"]) < k))
    assert result.samples["index"].tolist() == list(rows)
    assert result.suite.n == len(rows)


@pytest.mark.parametrize("form", ["standard", "trapezoid"])
@pytest.mark.parametrize("batch_size", [5, 64])
def test_figures_are_those_of_a_double_loop(model, sides, form, batch_size):
    result = evaluate_retrieval(*described(model, sides, batch_size=batch_size), average_precision=form)
    expected = naive_columns(distances(model, sides), *sides, form=form)
    agree(result, expected)
    assert 0.3 < np.mean(expected["ap"]) < 0.95  # otherwise a wrong rule could hide
    assert 0 < sum(expected["rank1"]) < len(VALID)
    assert result.samples["pid"].tolist() == [QUERY[row][0] for row in VALID]
    assert result.samples["cam"].tolist() == [QUERY[row][1] for row in VALID]
    settings = result.suite.settings
    counts = [settings[key] for key in ("queries", "no_match", "gallery", "junk_removed")]
    assert counts == [14, 2, len(GALLERY) - 6, 6]


def test_features_are_the_models_in_the_order_of_the_files(model, sides):
    query = describe(model, sides[0], batch_size=3)
    with torch.no_grad():
        assert torch.allclose(query.features, model(pixels_of(sides[0])), atol=1e-6)
    assert query.features.dtype == torch.float32
    assert query.paths == list(sides[0].paths)
    assert torch.equal(query.pixels([4, 1]), pixels_of(sides[0])[[4, 1]])
    some = query.take(np.array([5, 2]))
    assert some.paths == [sides[0].paths[5], sides[0].paths[2]]
    assert torch.equal(some.pixels([1]), pixels_of(sides[0])[[2]])
    assert some.pids.tolist() == [QUERY[5][0], QUERY[2][0]]
    moved = query.moved(np.array([3]), torch.zeros(1, LENGTH))
    assert moved.features[3].abs().max() == 0
    assert query.features[3].abs().max() > 0
    assert torch.equal(moved.features[:3], query.features[:3])


def test_junk_that_stayed_would_cost(model, sides):
    """The junk of this search looks like the queries: the figures above are not those of a gallery with it."""
    kept = replace(sides[1], pids=np.where(sides[1].pids == -1, 0, sides[1].pids))
    clean = evaluate_retrieval(*described(model, sides)).suite.metrics["mAP"]
    assert evaluate_retrieval(*described(model, (sides[0], kept))).suite.metrics["mAP"] < clean - 0.05


def test_without_cameras_nothing_is_dropped_for_its_camera(model, sides):
    result = evaluate_retrieval(*described(model, sides, cameras=False))
    rows = [*VALID, 13]  # person 7 is a match now
    agree(result, naive_columns(distances(model, sides), *sides, cameras=False), rows)
    assert "cam" not in result.samples
    assert result.suite.settings["no_match"] == 1
    assert result.suite.settings["rules"]["same_camera"] == "no cameras: nothing removed"


@pytest.mark.parametrize(("k1", "k2", "share"), [(20, 6, 0.3), (5, 1, 0.0)])
def test_reranked_is_the_reranking_of_the_gallery_without_junk(sides, k1, k2, share):
    model = Linear(unit=True)
    query, gallery = described(model, sides)
    result = evaluate_retrieval(query, gallery, "reranked", k1=k1, k2=k2, lambda_=share)
    kept = sides[1].pids != -1
    fewer = sides[1].take(kept)
    features = query.features.double().tolist(), gallery.features[torch.from_numpy(kept)].double().tolist()
    agree(result, naive_columns(retrieval_naive.rerank(*features, k1, k2, share), sides[0], fewer))
    clean = evaluate_retrieval(query, gallery)
    assert result.suite.metrics["mAP"] != clean.suite.metrics["mAP"]
    settings = result.suite.settings
    assert (settings["k1"], settings["k2"], settings["lambda"]) == (k1, k2, share)
    assert "re-ranked" in settings["rules"]["metric"]
    # the same junk is gone, whoever took it out
    for key in ("gallery", "junk_removed", "queries", "no_match"):
        assert settings[key] == clean.suite.settings[key]


def test_the_record_tells_rules_and_notes_and_survives_its_file(model, sides, tmp_path):
    result = evaluate_retrieval(
        *described(model, sides), "cross_b", split="held out", notes=("Rendered.",), settings={"flip": True}
    )
    suite = result.suite
    assert (suite.name, suite.split) == ("cross_b", "held out")
    assert suite.settings["notes"] == ["Rendered."]
    assert suite.settings["flip"] is True
    rules = suite.settings["rules"]
    assert {"metric", "average_precision", "junk", "same_camera", "distractors", "ties", "no_match"} == set(rules)
    assert all(isinstance(text, str) for text in rules.values())
    assert json.loads(json.dumps(asdict(suite)))["settings"] == suite.settings
    result.save(tmp_path)
    again, samples = read_suite(tmp_path / "eval" / "cross_b.json")
    assert again == suite
    assert samples.keys() == result.samples.keys()
    for name, values in result.samples.items():
        assert np.array_equal(samples[name], values)


class Always(nn.Module):
    """Dropout that knows no eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Linear()

    def forward(self, x):
        return nn.functional.dropout(self.inner(x), 0.2, training=True)


class Nothing(Linear):
    def forward(self, x):
        return super().forward(x) / 0


class Fewer(Linear):
    def forward(self, x):
        return super().forward(x)[:-1]


class Pair(Linear):
    def forward(self, x):
        return super().forward(x), x


class Stretched(Photos):
    """As if someone had normalised the images."""

    def __getitem__(self, row):
        sample = super().__getitem__(row)
        return sample._replace(image=(sample.image - 0.5) / 0.25)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (Always(), "two passes over the same images differ"),
        (Nothing(), "not finite"),
        (Fewer(), r"features of shape \(N, D\) with N = 14, got \(13, 6\)"),
        (nn.Identity(), r"got \(14, 3, 8, 8\)"),
        (Pair(), "got tuple"),
    ],
)
def test_models_that_cannot_be_measured_are_refused(sides, broken, words):
    with pytest.raises(FeatmaskError, match=words):
        describe(broken, sides[0])


def test_data_that_cannot_be_measured_are_refused(model, sides):
    query = sides[0]
    wrong = replace(query, photos=Stretched(query.photos.pixels, query.pids))
    with pytest.raises(FeatmaskError, match=r"expected pixels in \[0, 1\]"):
        describe(model, wrong)
    none = query.pids[:0]
    with pytest.raises(FeatmaskError, match="has no images"):
        describe(model, replace(query, photos=Photos(query.photos.pixels[:0], none), pids=none, cams=none, paths=()))


@pytest.mark.parametrize("kind", [Linear, Nothing])
def test_modes_and_gradients_come_back_also_after_an_error(sides, kind):
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.norm, self.drop = kind(), nn.BatchNorm1d(LENGTH), nn.Dropout(0.5)

        def forward(self, x):
            assert not any(module.training for module in self.modules())
            assert not any(parameter.requires_grad for parameter in self.parameters())
            return self.drop(self.norm(self.inner(x)))

    model = Whole().train()
    model.norm.eval()
    model.norm.bias.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    flags = [parameter.requires_grad for parameter in model.parameters()]
    if kind is Linear:
        describe(model, sides[0])
    else:
        with pytest.raises(FeatmaskError):
            describe(model, sides[0])
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
