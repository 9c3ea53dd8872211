"""Retrieval under attack: the figures of pixels in files, within their budget, the worst case, nothing else touched."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from featmask.errors import FeatmaskError
from featmask.records.suite import read_suite
from featmask.reid.attacks import MetricAttack, MisRanking
from featmask.reid.evaluation import attack_retrieval, attacked, describe, evaluate_retrieval
from oracles import search
from oracles.search import GALLERY, KNOWN, QUERY, SIZE, VALID, Linear, make_side, pixels_of

image = pytest.importorskip("PIL.Image")

OUTCOMES = ("rank1", "ap", "inp")
KINDS = ("fgsm", "ifgsm", "mifgsm", "sma", "fna", "odfa", "lta")


@pytest.fixture(scope="module")
def sides():
    return make_side(QUERY, "query"), make_side(GALLERY, "gallery")


@pytest.fixture(scope="module")
def model():
    return Linear()


@pytest.fixture(scope="module")
def described(model, sides):
    return [describe(model, side) for side in sides]


def eps(levels) -> Fraction:
    return Fraction(levels) / 255


def attack(kind, levels, steps=5):
    return MetricAttack(kind, eps(levels), steps=steps)


def generator(levels):
    torch.manual_seed(0)
    return MisRanking(eps(levels), width=4, blocks=1).eval()


def stored(folder: Path, side, rows) -> torch.Tensor:
    """Pixels of a side with the PNG files of a folder in some rows."""
    pixels = pixels_of(side).clone()
    assert {path.name for path in folder.iterdir()} == {side.paths[row].name for row in rows}
    for row in rows:
        array = np.asarray(image.open(folder / side.paths[row].name))
        pixels[row] = torch.from_numpy(array.copy()).permute(2, 0, 1) / 255
    return pixels


def column(result, kind, levels, outcome):
    return result.samples[f"{kind}.{outcome}@{levels}/255"].tolist()


@pytest.mark.parametrize("on", ["query", "gallery"])
@pytest.mark.parametrize("unit", [False, True])
def test_nothing_moves_at_eps_zero(sides, on, unit):
    """Whatever the batch was in which an image was described: rounding may differ, a figure may not."""
    model = Linear(unit=unit)
    described = [describe(model, side, batch_size=64) for side in sides]
    attacks = [attack(kind, 0, 2) for kind in KINDS]
    result = attack_retrieval(model, *described, attacks, on=on, batch_size=3)
    clean = evaluate_retrieval(*described)
    for outcome in OUTCOMES:
        whole = clean.samples[outcome].tolist()
        for name in ("clean", *(f"{kind}@0/255" for kind in KINDS), "worst@0/255"):
            head, at, size = name.partition("@")
            assert result.samples[f"{head}.{outcome}{at}{size}"].tolist() == whole
    for name, value in result.suite.metrics.items():
        figure = name.partition("@")[0].rpartition(".")[2]
        assert value == clean.suite.metrics[figure]


def test_an_image_that_did_not_change_has_its_clean_feature(sides, monkeypatch):
    """A network's rounding depends on the batch; here it does so visibly."""

    class Coarse(Linear):
        def forward(self, x):
            return super().forward(x) + 0.3 * len(x) * torch.tensor([1.0, 0, 0, 0, 0, 0])

    model = Coarse()
    described = [describe(model, side, batch_size=64) for side in sides]
    monkeypatch.setattr(attacked, "check_same_model", lambda *_: None)
    result = attack_retrieval(model, *described, [attack("sma", 0, 1)], batch_size=3)
    assert result.samples["sma.ap@0/255"].tolist() == result.samples["clean.ap"].tolist()


def test_fgsm_is_its_formula(model, sides, described, tmp_path):
    """One sign step from the mean of the four nearest right gallery images, worked out in double precision."""
    query, gallery = (pixels_of(side) for side in sides)
    w = model.map.weight.detach().double()
    q, g = ((x.flatten(1).double() - 0.5) @ w.T for x in (query, gallery))
    expected = []
    for row in VALID:
        pid, cam = QUERY[row]
        right = [i for i, (p, c) in enumerate(GALLERY) if p == pid and c != cam]
        near = sorted(right, key=lambda i: float((q[row] - g[i]).norm()))[:3]
        step = (w.T @ (q[row] - g[near].mean(0))).sign().view(SIZE).float()
        expected.append((query[row] + 3 / 255 * step).clamp(0, 1))
    result = attack_retrieval(model, *described, [attack("fgsm", 3)], guides=3, pictures=tmp_path, batch_size=5)
    moved = stored(tmp_path / "fgsm@3_255", sides[0], VALID)
    assert torch.allclose(moved[VALID], torch.stack(expected), atol=1e-6)
    columns = search.naive_columns(search.naive_distances(model, moved, gallery), *sides)
    assert column(result, "fgsm", 3, "ap") == pytest.approx(columns["ap"], abs=1e-12)
    assert np.mean(columns["ap"]) < result.suite.metrics["clean.mAP"] - 0.05


@pytest.mark.parametrize("form", ["standard", "trapezoid"])
@pytest.mark.parametrize("on", ["query", "gallery"])
def test_files_keep_the_budget_and_give_the_figures(model, sides, described, tmp_path, on, form):
    attacks = [attack("fna", 4), attack("sma", 2), MetricAttack("mifgsm", eps("1.6"), steps=3), generator(4)]
    options = {"on": on, "average_precision": form, "batch_size": 5, "pictures": tmp_path}
    result = attack_retrieval(model, *described, attacks, **options)
    rows = VALID if on == "query" else [i for i, (pid, _) in enumerate(GALLERY) if pid in KNOWN]
    side = sides[0] if on == "query" else sides[1]
    still = pixels_of(side)
    for one, most in zip(attacks, (4, 2, 1, 4), strict=True):
        moved = stored(tmp_path / one.name.replace("/", "_"), side, rows)
        change = ((moved - still) * 255).round().abs()
        assert most - 1 <= change.max() <= most
        assert (change.flatten(1).amax(1) > 0).nonzero().flatten().tolist() == rows
        pixels = (moved, pixels_of(sides[1])) if on == "query" else (pixels_of(sides[0]), moved)
        columns = search.naive_columns(search.naive_distances(model, *pixels), *sides, form=form)
        kind, _, size = one.name.partition("@")
        for outcome in OUTCOMES:
            found = result.samples[f"{kind}.{outcome}@{size}"]
            assert found.tolist() == pytest.approx(columns[outcome], abs=1e-12)
            figure = {"rank1": "rank1", "ap": "mAP", "inp": "mINP"}[outcome]
            assert result.suite.metrics[f"{kind}.{figure}@{size}"] == pytest.approx(np.mean(columns[outcome]))
    assert result.suite.settings["attacked_images"] == len(rows)


@pytest.mark.parametrize("kind", ["fna", "sma", "mifgsm"])
def test_more_budget_is_worse(model, described, kind):
    sizes = (0, 1, 2, 4, 8)
    result = attack_retrieval(model, *described, [attack(kind, size, 10) for size in sizes])
    scores = [result.suite.metrics[f"{kind}.mAP@{size}/255"] for size in sizes]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < scores[0] - 0.1


def test_the_worst_is_each_querys_own(model, described):
    kinds = ("fna", "sma", "mifgsm")
    result = attack_retrieval(model, *described, [attack(kind, size, 3) for kind in kinds for size in (2, 5)])
    for size in (2, 5):
        for outcome in OUTCOMES:
            every = [result.samples[f"clean.{outcome}"], *(column(result, kind, size, outcome) for kind in kinds)]
            assert column(result, "worst", size, outcome) == np.min(every, axis=0).tolist()
    worst = result.suite.metrics["worst.mAP@5/255"]
    assert worst < min(result.suite.metrics[f"{kind}.mAP@5/255"] for kind in kinds)
    assert result.suite.n == len(VALID) == len(result.samples["index"])


def test_a_query_that_an_attack_helps_counts_as_it_was(model, described, monkeypatch):
    clean = described[0].features

    def helping(attack, model, x, **options):
        return (x + 1 / 255).clamp(0, 1)

    monkeypatch.setattr(attacked, "perturb", helping)
    right = torch.stack([described[1].features[described[1].pids == pid].mean(0) for pid in described[0].pids[VALID]])
    monkeypatch.setattr(attacked, "features_of", lambda model, x: right)
    broken = replace(described[0], features=-clean)
    monkeypatch.setattr(attacked, "check_same_model", lambda *_: None)
    result = attack_retrieval(model, broken, described[1], [attack("sma", 2)])
    assert result.suite.metrics["sma.mAP@2/255"] > result.suite.metrics["clean.mAP"]
    assert result.suite.metrics["worst.mAP@2/255"] == result.suite.metrics["clean.mAP"]


def test_a_limit_takes_the_same_queries_for_every_model(sides, tmp_path):
    rows = []
    for seed in (0, 1):
        model = Linear(seed)
        sets = [describe(model, side) for side in sides]
        result = attack_retrieval(model, *sets, [attack("sma", 2)], limit=5, seed=seed)
        whole = attack_retrieval(model, *sets, [attack("sma", 2)]).samples
        rows.append(result.samples["index"].tolist())
        assert result.samples["clean.ap"].tolist() == whole["clean.ap"][np.isin(whole["index"], rows[-1])].tolist()
        assert result.suite.n == result.suite.settings["scored_queries"] == 5
        assert result.suite.settings["limit"] == 5
        assert (result.suite.settings["queries"], result.suite.settings["no_match"]) == (14, 2)
    assert rows[0] == rows[1] == sorted(set(rows[0]))
    assert set(rows[0]) < set(VALID)
    # the gallery images of these queries' persons alone
    attack_retrieval(model, *sets, [attack("sma", 2)], on="gallery", limit=2, pictures=tmp_path)
    two = attack_retrieval(model, *sets, [attack("sma", 2)], limit=2).samples["pid"]
    wanted = [i for i, (pid, _) in enumerate(GALLERY) if pid in two]
    stored(tmp_path / "sma@2_255", sides[1], wanted)


def test_a_file_on_both_sides_is_never_its_own_guide(model, sides, described):
    pool = described[1]
    rows = np.array([0, 7, 13])
    chosen = pool.take(rows)
    guides = attacked.guides_of(attack("fna", 2), chosen, pool, 50)
    for place in range(3):
        push = guides.push[place][guides.push_mask[place]]
        assert len(push) == 4  # by other cameras
        assert not (push == chosen.features[place]).all(1).any()
    # of one camera: the other five of the person; another file with the same pixels is a guide
    same = replace(pool, cams=np.ones_like(pool.cams))
    assert attacked.guides_of(attack("fna", 2), same.take(rows), same, 50).push_mask.sum(1).tolist() == [5, 5, 5]
    copy = replace(sides[1], paths=tuple(Path("copy", path.name) for path in sides[1].paths))
    elsewhere = replace(same, side=copy)
    assert attacked.guides_of(attack("fna", 2), elsewhere.take(rows), same, 50).push_mask.sum(1).tolist() == [6, 6, 6]
    assert attacked.guides_of(attack("sma", 2), chosen, pool, 50) is None


def test_neither_junk_nor_distractors_pull(described):
    """However far they are: the one of them is nobody, the others are many."""
    nobody = np.flatnonzero(described[1].pids < 1)
    pool = described[1].moved(nobody, torch.full((len(nobody), search.LENGTH), 1e3))
    chosen = described[0].take(np.array(VALID))
    guides = attacked.guides_of(attack("fna", 2), chosen, pool, 4)
    for row, pid in enumerate(chosen.pids):
        means = [pool.features[pool.pids == other].mean(0) for other in range(1, 8) if other != pid]
        assert torch.allclose(guides.pull[row], max(means, key=lambda mean: (mean - chosen.features[row]).norm()))


def test_the_seed_is_of_the_attack(model, described, tmp_path):
    def run(name, seed):
        attack_retrieval(model, *described, [attack("sma", 6, 1)], seed=seed, pictures=tmp_path / name)
        return {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.png")}

    torch.manual_seed(5)
    first = run("a", 0)
    torch.manual_seed(6)
    assert run("b", 0) == first
    assert run("c", 1) != first
    assert len(first) == len(VALID)


def test_the_record_names_attacks_rules_and_doubts(model, described, tmp_path):
    attacks = [attack("fna", 2, 7), attack("sma", 2), attack("odfa", 2), generator(3), attack("fgsm", 2)]
    result = attack_retrieval(
        model, *described, attacks, notes=["Rendered."], settings={"flip": False}, split="held out", batch_size=5
    )
    suite = result.suite
    assert (suite.name, suite.split) == ("attack_query", "held out")
    told = {one["name"]: one for one in suite.settings["attacks"]}
    assert (told["fna@2/255"]["kind"], told["fna@2/255"]["steps"], told["fgsm@2/255"]["steps"]) == ("fna", 7, 1)
    assert told["misranking@3/255"]["kind"] == "misranking"
    assert all(Fraction(one["eps"]) == eps(one["name"].partition("@")[2][0]) for one in told.values())
    assert {one["norm"] for one in told.values()} == {"linf"}
    assert suite.settings["notes"] == ["Rendered."]
    assert suite.settings["flip"] is False
    assert suite.settings["batch_size"] == 5  # what is drawn for an image depends on its place in a batch
    assert "true identity" in suite.settings["guides"]
    assert any("upper bound" in warning for warning in suite.warnings)
    assert any("SMA and ODFA" in warning for warning in suite.warnings)
    assert json.loads(json.dumps(asdict(suite)))["settings"] == suite.settings
    result.save(tmp_path)
    again, samples = read_suite(tmp_path / "eval" / "attack_query.json")
    assert again == suite
    assert all(np.array_equal(samples[name], values) for name, values in result.samples.items())
    alone = attack_retrieval(model, *described, [attack("sma", 2)]).suite
    assert "guides" not in alone.settings
    assert not any("ODFA" in warning for warning in alone.warnings)


@pytest.mark.parametrize("change", [3 / 255, -3 / 255, float("nan"), 2.0])
def test_an_attack_that_leaves_its_budget_is_stopped(model, described, monkeypatch, change):
    true = attacked.perturb
    monkeypatch.setattr(
        attacked,
        "perturb",
        lambda attack, model, x, **options: x + change if attack.kind == "sma" else true(attack, model, x, **options),
    )
    attack_retrieval(model, *described, [attack("fna", 2)])
    with pytest.raises(FeatmaskError, match="sma@2/255 left its budget"):
        attack_retrieval(model, *described, [attack("fna", 2), attack("sma", 2)])


def test_rounding_is_checked_too_and_generators_are(model, described, monkeypatch):
    monkeypatch.setattr(attacked, "quantised", lambda moved, x, attack: (x + 3 / 255).clamp(0, 1))
    with pytest.raises(FeatmaskError, match="sma@2/255 left its budget"):
        attack_retrieval(model, *described, [attack("sma", 2)])
    monkeypatch.undo()

    class Wild(MisRanking):
        def forward(self, x):
            return (x + 3 / 255).clamp(0, 1)

    with pytest.raises(FeatmaskError, match="misranking@2/255 left its budget"):
        attack_retrieval(model, *described, [Wild(eps(2), width=4, blocks=0)])


class Flat(Linear):
    def forward(self, x):
        return super().forward(x).detach()


def test_wrong_calls_are_refused(model, described):
    some = [attack("sma", 2)]
    for options, words in (
        ({"attacks": []}, "at least one attack"),
        ({"on": "both"}, "query or gallery, got 'both'"),
        ({"limit": 0}, "limit: expected 1 or more"),
        ({"limit": -3}, "limit: expected 1 or more"),
        ({"attacks": [attack("sma", 2), attack("sma", 2, 9)]}, "sma@2/255 twice"),
        ({"guides": 0, "attacks": [attack("fna", 2)]}, "count of 1 or more"),
        ({"model": Flat()}, "no gradient"),
        ({"model": Linear(seed=3)}, "another model's"),
    ):
        given = {"model": model, "attacks": some, **options}
        with pytest.raises(FeatmaskError, match=words):
            attack_retrieval(given.pop("model"), *described, given.pop("attacks"), **given)


def test_pictures_of_files_with_one_name_are_all_kept(model, sides, tmp_path):
    """In a table of files, folders tell persons apart and names repeat."""
    paths = tuple(Path("all", str(row), "front.jpg") for row in range(len(sides[0])))
    query, gallery = describe(model, replace(sides[0], paths=paths)), describe(model, sides[1])
    attack_retrieval(model, query, gallery, [attack("sma", 2)], pictures=tmp_path)
    files = sorted((tmp_path / "sma@2_255").rglob("*.png"))
    assert len(files) == len(VALID)
    assert len({path.read_bytes() for path in files}) == len(VALID)


@pytest.mark.parametrize("fails", [False, True])
def test_modes_and_gradients_come_back(sides, described, monkeypatch, fails):
    model = nn.Sequential(Linear(), nn.Dropout(0.5)).train()
    model[0].map.weight.requires_grad_(True)
    model[0].eval()
    if fails:
        monkeypatch.setattr(attacked, "perturb", lambda attack, model, x, **options: x + 1)
        with pytest.raises(FeatmaskError):
            attack_retrieval(model, *described, [attack("sma", 2)])
    else:
        attack_retrieval(model, *described, [attack("sma", 2)])
    assert [module.training for module in model.modules()] == [True, False, False, True]
    assert model[0].map.weight.requires_grad
    assert model[0].map.weight.grad is None
