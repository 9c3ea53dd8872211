"""Suites: outcomes against closed forms, kills, batch sizes, memory, files of a user's own."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import featmask
from featmask.classification.recipe import Evaluate
from featmask.classification.suites import SuiteOptions, evaluate, evaluate_suites, plan_of, suite_run
from featmask.classification.suites.named import method
from featmask.classification.suites.outcomes import worst_columns
from featmask.errors import FeatmaskError
from featmask.evaluation.portions import Portions
from featmask.records.suite import read_suite

QUICK = SuiteOptions(eps=("2/255", "8/255"), steps=5, refine=3, queries=20)


class Linear(nn.Module):
    """Two classes, margin w.(x - 0.5): flipped by exactly |margin| / |w|_1 in the L-infinity norm."""

    def __init__(self, pixels: int = 12) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(pixels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x - 0.5).flatten(1) @ self.w
        return torch.stack([-score, score], 1)


@pytest.fixture
def linear():
    model = Linear()
    # away from 0 and 1: the box does not bind
    x = torch.rand(60, 3, 2, 2) * 0.4 + 0.3
    y = model(x).argmax(1)
    y[:7] = 1 - y[:7]
    return model, TensorDataset(x, y)


@pytest.fixture
def small():
    torch.manual_seed(5)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 3)).eval()
    x = torch.rand(30, 1, 8, 8)
    return model, TensorDataset(x, model(x).argmax(1))


@pytest.mark.parametrize(("suite", "norm"), [("linf", 1), ("l2", 2), ("l1", torch.inf)])
def test_smallest_radii_of_a_linear_model_are_its_distances(linear, suite, norm):
    """Within the width of the last bracket: a 32nd of the gap between two radii (and 2 % that L1 leaves)."""
    model, data = linear
    x = data.tensors[0]
    distance = (((x - 0.5).flatten(1) @ model.w).abs() / torch.linalg.vector_norm(model.w, norm)).detach()
    sizes = [f"{float(distance.max()) * share:.6f}" for share in (0.3, 0.6, 1.01)]
    key = {"linf": "eps", "l2": "l2_eps", "l1": "l1_eps"}[suite]
    result = evaluate(model, data, suite, **{key: sizes}, attacks=["apgd"], steps=40, refine=5)
    flips = result.samples["flip_eps"]
    assert (flips[:7] == 0).all()
    expected = distance[7:].numpy()
    assert (flips[7:] >= expected * (1 - 1e-5)).all()
    assert (flips[7:] <= expected * 1.02 + float(distance.max()) * 0.41 / 32).all()
    assert result.suite.metrics["median_eps"] == pytest.approx(np.median(flips[7:]))
    assert result.suite.metrics["unflipped"] == 0
    if suite == "linf":  # robust accuracy by its closed form, up to samples within 1 % of a radius
        for size in sizes:
            worst = result.suite.metrics[f"worst@{float(size) * 255:g}/255"]
            assert worst == pytest.approx((expected > float(size)).sum() / 60, abs=0.04)


def test_a_larger_radius_contains_a_smaller_one(small):
    model, data = small
    result = evaluate(model, data, "linf", options=QUICK)
    for name in ("fgsm", "pgd", "apgd", "apgd-margin-t"):
        assert (result.samples[f"{name}@8/255"] <= result.samples[f"{name}@2/255"]).all()
    columns = {"clean": np.ones(3), "fgsm@2/255": np.array([1, 0, 1]), "pgd@8/255": np.array([1, 1, 0])}
    attacks = [method({"kind": "fgsm", "eps": "2/255"}), method({"kind": "pgd", "eps": "8/255"})]
    worst = worst_columns(columns, attacks)
    assert worst["worst@2/255"].tolist() == [1, 0, 1]
    assert worst["worst@8/255"].tolist() == [1, 0, 0]


@pytest.mark.parametrize("suite", ["linf", "blackbox", "occlusion", "corruptions"])
def test_outcomes_depend_on_no_batch(small, suite):
    model, data = small
    whole, parts = (evaluate(model, data, suite, options=QUICK, batch_size=size).samples for size in (30, 7))
    for name, values in whole.items():
        # a convolution over another number of images may sum in another order
        assert np.mean(parts[name] != values) <= (0.1 if name == "flip_eps" else 1 / 30), name


def test_images_that_are_stored_with_8_bits_are_judged_again():
    """A change of a quarter of a grey level flips the sign of the mean, and is gone once it is rounded."""

    class Sharp(nn.Module):
        def forward(self, x):
            score = (x.flatten(1).mean(1) - 128.1 / 255) * 1000
            return torch.stack([-score, score], 1)

    data = TensorDataset(torch.full((4, 1, 4, 4), 128 / 255), torch.zeros(4, dtype=torch.long))
    options = SuiteOptions(eps=("0.25/255", "2/255"), attacks=("fgsm",), refine=0)
    suite = evaluate(Sharp(), data, "linf", options=options).suite
    assert (suite.metrics["fgsm@0.25/255"], suite.metrics["fgsm@2/255"]) == (0, 0)
    assert suite.settings["quantised"] == {"fgsm@0.25/255": 1, "fgsm@2/255": 0}


class Killed(Exception):
    """What a kill looks like from inside."""


@pytest.mark.parametrize("form", ["dataset", "loader"])
def test_a_killed_suite_goes_on_and_ends_the_same(small, tmp_path, monkeypatch, form):
    model, data = small
    given = data if form == "dataset" else DataLoader(data, batch_size=8)
    straight = evaluate(model, given, "linf", options=QUICK, batch_size=8, folder=tmp_path / "straight")
    outcomes, seen = suite_run.SuiteRun.outcomes, []

    def dying(self, batch):
        seen.append(len(batch.labels))
        if len(seen) == 3:
            raise Killed
        return outcomes(self, batch)

    monkeypatch.setattr(suite_run.SuiteRun, "outcomes", dying)
    with pytest.raises(Killed):
        evaluate(model, given, "linf", options=QUICK, batch_size=8, folder=tmp_path / "killed")
    partial = tmp_path / "killed" / "eval" / "linf.partial.jsonl"
    # the kill fell into the writing of a line
    partial.write_text(partial.read_text() + '{"index": [16, 1')
    resumed = evaluate(model, given, "linf", options=QUICK, batch_size=8, folder=tmp_path / "killed")
    assert seen == [8, 8, 8, 8, 6]
    assert not partial.exists()
    assert resumed.suite == straight.suite
    for name, values in straight.samples.items():
        assert np.array_equal(resumed.samples[name], values), name
    assert read_suite(tmp_path / "killed" / "eval" / "linf.json")[0] == straight.suite
    # what is there is not measured again, by another model it is
    seen.clear()
    evaluate(model, given, "linf", options=QUICK, batch_size=8, folder=tmp_path / "killed")
    assert not seen
    with torch.no_grad():
        model[0].weight.mul_(1.01)
    seen.append(0), seen.append(0), seen.append(0)
    evaluate(model, given, "linf", options=QUICK, batch_size=8, folder=tmp_path / "killed")
    assert sum(seen) == 30


def test_other_data_after_a_kill_are_refused(small, tmp_path, monkeypatch):
    model, data = small
    outcomes = suite_run.SuiteRun.outcomes

    def dying(self, batch):
        if batch.rows[0]:
            raise Killed
        return outcomes(self, batch)

    monkeypatch.setattr(suite_run.SuiteRun, "outcomes", dying)
    with pytest.raises(Killed):
        evaluate(model, data, "clean", batch_size=8, folder=tmp_path)
    other = TensorDataset(data.tensors[0].flip(0), (data.tensors[1] + 1) % 3)
    with pytest.raises(FeatmaskError, match="does not shuffle"):
        evaluate(model, DataLoader(other, batch_size=8), "clean", folder=tmp_path)


def test_portions_shrink_until_they_fit():
    sizes = []

    def work(part):
        sizes.append(part.stop - part.start)
        if sizes[-1] > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return list(range(part.start, part.stop))

    portions = Portions()
    assert list(chain(*portions.each(work, 10))) == list(range(10))
    assert sizes == [10, 5, 2, 2, 2, 2, 2]
    sizes.clear()
    assert list(chain(*portions.each(work, 4))) == list(range(4))
    assert sizes == [2, 2], "what did not fit once is not tried again"
    with pytest.raises(RuntimeError, match="shapes"):
        portions.each(lambda _: (_ for _ in ()).throw(RuntimeError("shapes differ")), 3)


class Noisy(nn.Module):
    """Random in eval mode: right with a chance that depends on the first pixel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x.flatten(1).mean(1) - 0.5) * 40 + torch.randn(len(x))
        return torch.stack([-score, score], 1)


def test_random_models_are_refused_or_measured_as_shares():
    torch.manual_seed(2)
    data = TensorDataset(torch.rand(40, 1, 4, 4), torch.randint(2, (40,)))
    with pytest.raises(FeatmaskError, match="allow_stochastic"):
        evaluate(Noisy(), data, "linf", options=QUICK)
    result = evaluate(Noisy(), data, "linf", options=QUICK, allow_stochastic=True)
    assert ((result.samples["clean"] > 0) & (result.samples["clean"] < 1)).any()
    assert result.suite.metrics["worst@8/255"] < result.suite.metrics["clean"]
    assert "random" in result.suite.warnings[-1]
    assert result.suite.settings["passes"] == 20
    assert all(attack["eot"] == 10 for attack in result.suite.settings["attacks"])


def test_models_without_gradients_get_black_box_suites_alone(small):
    model, data = small
    model.differentiable = False
    with pytest.raises(FeatmaskError, match="blackbox"):
        evaluate(model, data, "linf", options=QUICK)
    options = SuiteOptions(eps=("48/255",), queries=50, squares=("25%",), corruptions=("contrast",), severities=(5,))
    found = evaluate_suites(model, data, "full", options=options)
    assert list(found) == ["clean", "blackbox", "corruptions", "occlusion"]
    assert found["blackbox"].suite.metrics["square@48/255"] < 1
    assert "patch@25%" not in found["occlusion"].suite.metrics


def test_a_suite_of_ones_own(small, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        """
name: mine
attacks:
  - {kind: pgd, eps: [2/255, 8/255], steps: 4, loss: margin, restarts: 2}
  - {kind: occlusion, size: 25%}
corruptions: {kinds: [contrast], severities: [1, 5]}
smallest: {rounds: 2}
"""
    )
    suite = evaluate(*small, path).suite
    assert suite.name == "mine"
    assert {"pgd-margin@2/255", "pgd-margin@8/255", "worst@8/255", "occlusion@25%", "worst@25%", "contrast:5",
            "contrast", "corrupted", "unflipped", "clean"} <= set(suite.metrics)  # fmt: skip
    assert suite.metrics["contrast"] == pytest.approx((suite.metrics["contrast:1"] + suite.metrics["contrast:5"]) / 2)
    assert suite.settings["attacks"][0]["restarts"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: mine", "expected attacks, corruptions, or both"),
        ("name: linf\nattacks: [{kind: pgd, eps: 1/255}]", "choose another name"),
        ("name: mine\nattacks: [{kind: pgd}]", "expected a size"),
        ("name: mine\nattacks: [{kind: pgd, eps: 1/255, stepz: 3}]", "stepz"),
        ("name: mine\nattacks: [{kind: magic, eps: 1/255}]", "autoattack, .*pgd.*; got 'magic'"),
        ("name: mine\nattacks: [{kind: patch, eps: 1/255}]", "patch: expected a size .size: 20%"),
        ("name: mine\nattacks: [{kind: transfer, eps: 1/255}]", "got 'transfer'"),
        ("name: mine\nattacks: [{eps: 1/255}]", "expected a kind"),
        ("name: mine\nmore: 3", "no such key"),
        ("name: mine\ncorruptions: {kinds: [rain]}", "gaussian_noise"),
        ("- 3", "expected keys"),
        ("name: [", "not YAML"),
    ],
)
def test_mistakes_in_a_suite_are_named(small, tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(FeatmaskError, match=message):
        evaluate(*small, path)
    with pytest.raises(FeatmaskError, match="cannot read"):
        evaluate(*small, tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": ()}, "one or more"),
        ({"eps": ("x",)}, "such as 2/255, got 'x'"),
        ({"eps": "8/255"}, "eps: expected a list"),
        ({"eps": ("8/255", "16/510")}, "each once"),
        ({"l2_eps": ("-1",)}, "l2_eps.0: expected a size of 0 or more"),
        ({"steps": 0}, "steps: expected greater than or equal to 1, got 0"),
        ({"squares": ("0%",)}, "20%"),
        ({"severities": (6,)}, "severities.0: expected less than or equal to 5, got 6"),
        ({"refine": -1}, "refine: .* 0, got -1"),
        ({"attacks": ("pgd", "cw")}, "attacks.1: unknown attack 'cw'; expected some of: .*apgd-t"),
        ({"corruptions": ("rain",)}, "corruptions.0: .*gaussian_noise.*; got rain"),
        ({"stepz": 3}, "stepz: no such key; known here: eps, .*passes"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_any_time_is_spent(linear, options, message):
    with pytest.raises(FeatmaskError, match=message):
        SuiteOptions(**options)
    with pytest.raises(FeatmaskError, match=message):
        evaluate(nn.Identity(), linear[1], "linf", **options)


def test_a_recipe_s_keys_and_defaults_are_those_of_python():
    recipe, keys = Evaluate(suites=("linf",), batch_size=3), SuiteOptions().model_dump()
    assert SuiteOptions.of(recipe) == SuiteOptions()
    assert SuiteOptions.of(Evaluate(steps=3)) == SuiteOptions(steps=3) == SuiteOptions().but(steps=3)
    assert set(keys) - set(Evaluate.model_fields) == {"eot", "passes"}
    assert featmask.Options is featmask.SuiteOptions is SuiteOptions  # the name of old scripts


def test_keywords_are_settings_and_win_over_options(linear):
    asked = {"eps": ["2/255"], "attacks": ["fgsm"], "refine": 0}
    found = evaluate(*linear, "linf", **asked)
    assert [attack["name"] for attack in found.suite.settings["attacks"]] == ["fgsm@2/255"]
    options = SuiteOptions(eps=("2/255",), attacks=("fgsm", "pgd"), steps=3, refine=0)
    whole = evaluate(*linear, "linf", options=options, attacks=("pgd",)).suite.settings["attacks"]
    assert [(attack["name"], attack["steps"]) for attack in whole] == [("pgd@2/255", 3)]


def test_one_suite_gives_its_evaluation_and_several_a_dictionary(linear, tmp_path):
    for several in ("full", ["clean", "linf"], ("clean",)):
        with pytest.raises(FeatmaskError, match="evaluate_suites"):
            evaluate(*linear, several)
    found = evaluate_suites(*linear, ["clean", "linf", "clean"], options=QUICK)
    assert list(found) == ["clean", "linf"]
    assert found["linf"].suite == evaluate(*linear, "linf", options=QUICK).suite
    assert list(evaluate_suites(*linear, "clean")) == ["clean"]
    with pytest.raises(FeatmaskError, match="one suite or more, got none"):
        evaluate_suites(*linear, [])
    # what is wrong with the last suite is found before the first is measured
    with pytest.raises(FeatmaskError, match="surrogate"):
        evaluate_suites(*linear, ["clean", "transfer"], folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_presets_follow_the_number_of_classes():
    """DLR's targeted form needs four classes: with fewer the margin takes its place, and says so in its name."""
    for classes, name in ((2, "apgd-margin-t@8/255"), (3, "apgd-margin-t@8/255"), (4, "apgd-dlr-t@8/255")):
        plan = plan_of("linf", SuiteOptions(eps=("8/255",)), classes)
        assert plan.attacks[-1].name == name
        assert plan.attacks[-1].targets == classes - 1
    assert plan_of("linf", SuiteOptions(), 100).attacks[-1].targets == 9
    with pytest.raises(FeatmaskError, match="surrogate"):
        plan_of("transfer", SuiteOptions(), 10)


def test_attacks_are_made_by_plain_values_and_back():
    entry = {"kind": "apgd", "eps": "8/255", "norm": "linf", "loss": "margin", "targets": 3, "steps": 7}
    attack = method(entry)
    assert attack.eps == Fraction(8, 255)
    assert entry.items() <= (attack.plain() | {"eps": "8/255"}).items()
    json.dumps(attack.plain())
