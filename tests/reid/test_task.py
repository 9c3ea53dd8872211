"""Re-identification end to end on rendered people: what is trained is what is measured, stored and measured again."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from featmask.errors import FeatmaskError
from featmask.recipe import override
from featmask.records.run import read_epochs, read_run
from featmask.study.fields import open_task, parse_recipe
from featmask.study.run import is_finished, load_model, measure_run, train_run
from oracles.search import naive_columns

image = pytest.importorskip("PIL.Image")
pytest.importorskip("pytorch_metric_learning")

SHAPE = {"height": 48, "width": 24}
WORLD = {"train_ids": 6, "test_ids": 4, "cameras": 2, "shots": 2, "distractors": 3, "junk": 2, **SHAPE}
RAW = {
    "name": "tiny",
    "task": "reid",
    "data": {"name": "synthetic", **SHAPE, "validation": 0.34, "world": WORLD},
    "model": {"name": "resnet8", "head": "bnneck"},
    "train": {
        "epochs": 2, "batch_size": 8, "images_per_person": 2, "lr": 0.02, "tensorboard": False,
        "losses": {"cross_entropy": {}, "triplet": {"margin": 0.3}},
    },
    "methods": {
        "none": None,
        "lfm": None,
        "erasing": {"layer": "none", "set": {"augment.erasing": 1.0}},
        "goat": {"layer": "none", "set": {"train.adversarial": {"kind": "goat", "eps": "4/255", "steps": 2}}},
    },
    "evaluate": {
        "suites": ["clean", "reranked", "cross", "attack_query", "attack_gallery"],
        "cross": {"b": {"name": "synthetic", "world": {**WORLD, "domain": "b"}}},
        "attacks": ["fna", "misranking"], "eps": ["4/255"], "steps": 2, "attack_queries": 4, "misranking_steps": 2,
        "rerank": {"k1": 5, "k2": 2},
    },
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("cache")


def recipe_of(*changes: str):
    return parse_recipe(override(RAW, changes), "here")


@pytest.fixture(scope="module")
def task(cache):
    return open_task(recipe_of())


@pytest.fixture(scope="module")
def run(task, tmp_path_factory):
    """One trained and measured run."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    train_run(recipe_of(), "lfm", 0, folder, task, "cpu")
    measure_run(recipe_of(), folder, task, "cpu")
    return folder


def naive_figures(model, side_pair) -> dict[str, float]:
    """Image and mirror added, length 1, every distance and rank one by one."""
    features = []
    with torch.no_grad():
        for side in side_pair:
            x = torch.stack([side.photos[row].image for row in range(len(side))])
            features.append(functional.normalize(model(x) + model(x.flip(3)), dim=1).double().numpy())
    distances = ((features[0][:, None] - features[1][None]) ** 2).sum(2).tolist()
    columns = naive_columns(distances, *side_pair)
    return {"rank1": np.mean(columns["rank1"]), "mAP": np.mean(columns["ap"]), "mINP": np.mean(columns["inp"])}


def test_a_checkpoint_gives_the_figures_of_its_run(run, task):
    record = read_run(run)
    assert is_finished(recipe_of(), run)
    assert list(record.suites) == ["attack_gallery", "attack_query", "clean", "cross_b", "reranked"]
    model, header = load_model(run / "model.safetensors")
    assert header.num_ids == task.splits.num_ids == 4
    found = naive_figures(model.eval(), (task.splits.query, task.splits.gallery))
    for name, value in found.items():
        assert record.suites["clean"].metrics[name] == pytest.approx(value, abs=1e-9)
    other = open_task(parse_recipe(override(RAW, ["data.world.domain=b"]), "here"))
    found = naive_figures(model, (other.splits.query, other.splits.gallery))
    assert record.suites["cross_b"].metrics["mAP"] == pytest.approx(found["mAP"], abs=1e-9)
    assert record.suites["cross_b"].metrics["mAP"] != record.suites["clean"].metrics["mAP"]
    for suite in record.suites.values():
        assert "rendered pictures, not photographs" in suite.settings["notes"]
        assert suite.settings["flip"] is True


def test_measured_again_elsewhere_the_figures_are_the_same(run, tmp_path):
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    shutil.rmtree(copied / "eval")
    torch.manual_seed(99)
    measure_run(recipe_of(), copied, open_task(recipe_of()), "cpu")
    first, again = read_run(run), read_run(copied)
    assert first.suites == again.suites
    for name, columns in first.samples.items():
        assert all(np.array_equal(values, again.samples[name][column]) for column, values in columns.items())


def test_attacks_are_on_so_many_queries_and_the_clean_figures_are_theirs(run):
    record = read_run(run)
    for side in ("query", "gallery"):
        suite, columns = record.suites[f"attack_{side}"], record.samples[f"attack_{side}"]
        assert suite.n == 4
        clean = dict(zip(record.samples["clean"]["index"], record.samples["clean"]["ap"], strict=True))
        assert columns["clean.ap"].tolist() == pytest.approx([clean[row] for row in columns["index"]])
        assert {one["name"] for one in suite.settings["attacks"]} == {"fna@4/255", "misranking@4/255"}
        # the worst is no better than any
        assert (columns["worst.ap@4/255"] <= columns["fna.ap@4/255"]).all()


def test_a_generator_is_trained_once_for_both_sides(run, task, monkeypatch):
    from featmask.reid import searches

    calls = []
    true = searches.train_misranking
    monkeypatch.setattr(searches, "train_misranking", lambda *a, **o: calls.append(o["eps"]) or true(*a, **o))
    model, _ = load_model(run / "model.safetensors")
    changed = recipe_of("evaluate.suites=[attack_query, attack_gallery]", "evaluate.eps=[4/255, 2/255]")
    evaluations = list(task.measure(changed, model, "cpu", 2))
    assert len(evaluations) == 2
    assert len(calls) == 2


def test_measuring_reads_no_training_image(run, tmp_path):
    """All of the training images are broken, after a run without the attack that learns from them."""
    world = tmp_path / "world"
    source = open_task(recipe_of()).splits.root
    shutil.copytree(source, world)
    broken = sorted((world / "bounding_box_train").glob("*.[jp][pn]g"))
    assert broken
    for path in broken:
        path.write_bytes(b"no image")
    changed = recipe_of(
        "data.name=market1501", f"data.root={world}", "data.world=null", "evaluate.attacks=[fna]",
        "evaluate.suites=[clean, reranked, attack_query]",
    )  # fmt: skip
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    shutil.rmtree(folder / "eval")
    task = open_task(changed)
    measure_run(changed, folder, task, "cpu")
    assert read_run(folder).suites["clean"].metrics == read_run(run).suites["clean"].metrics
    with pytest.raises(FeatmaskError, match=r"images cannot be read"):
        train_run(changed, "none", 0, tmp_path / "new", task, "cpu")


def test_validation_is_logged_and_is_that_of_the_kept_weights(run, task):
    lines = read_epochs(run)
    assert [set(line) for line in lines] == [
        {"epoch", "lr", "train_loss", "train_accuracy", "val_mAP", "val_rank1", "seconds"}
    ] * 2
    info = json.loads((run / "run.json").read_text())
    assert info["val_mAP"] == lines[-1]["val_mAP"]
    model, _ = load_model(run / "model.safetensors")
    query, gallery = task.splits.validation
    assert not set(query.pids.tolist()) & set(task.splits.persons.tolist())
    with torch.no_grad():
        features = [
            functional.normalize(model.eval()(torch.stack([s.photos[i].image for i in range(len(s))]))).double().numpy()
            for s in (query, gallery)
        ]
    distances = ((features[0][:, None] - features[1][None]) ** 2).sum(2).tolist()
    assert info["val_mAP"] == pytest.approx(np.mean(naive_columns(distances, query, gallery)["ap"]), abs=1e-9)


def test_without_held_out_persons_there_is_no_validation_figure(tmp_path):
    changed = recipe_of("data.validation=0", "train.epochs=1")
    task = open_task(changed)
    assert task.splits.num_ids == WORLD["train_ids"]
    train_run(changed, "none", 0, tmp_path, task, "cpu")
    (line,) = read_epochs(tmp_path)
    assert not any(name.startswith("val_") for name in line)
    with pytest.raises(FeatmaskError, match=r"needs data\.validation above 0"):
        recipe_of("data.validation=0", "train.select=best")


def test_the_best_epoch_is_chosen_by_map_of_held_out_persons(task, tmp_path, monkeypatch):
    from featmask.reid import training as identities

    figures = [{"val_mAP": score, "val_rank1": first} for score, first in ((0.2, 0.1), (0.9, 0.1), (0.3, 1.0))]
    changed = ["train.schedule=constant", "data.validation=0.34"]
    for name, more in (("best", ["train.epochs=3", "train.select=best"]), ("two", ["train.epochs=2"])):
        told = iter(copy.deepcopy(figures))
        monkeypatch.setattr(identities, "_validate", lambda *_, told=told: next(told))
        train_run(recipe_of(*changed, *more), "none", 0, tmp_path / name, task, "cpu")
    best, header = load_model(tmp_path / "best" / "model.safetensors")
    two, _ = load_model(tmp_path / "two" / "model.safetensors")
    assert (header.run.best_epoch, header.run.validation["val_mAP"]) == (2, 0.9)
    assert all(torch.equal(a, b) for a, b in zip(best.state_dict().values(), two.state_dict().values(), strict=True))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A table without cameras: every person one colour."""
    rng = np.random.default_rng(0)
    lines = ["path,pid,split"]
    for pid in range(10):
        colour = rng.integers(40, 216, 3)
        for shot in range(4):
            name = f"{pid}_{shot}.png"
            pixels = (colour + rng.normal(0, 30, (48, 24, 3))).clip(0, 255).astype(np.uint8)
            image.fromarray(pixels).save(tmp_path / name)
            part = "train" if pid < 6 else "query" if shot == 0 else "gallery"
            lines.append(f"{name},p{pid},{part}")
    (tmp_path / "own.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.filterwarnings("error")
def test_own_data_without_cameras(own, tmp_path):
    changed = recipe_of(
        "data.name=csv", f"data.root={own}", "data.world=null",
        "evaluate.suites=[clean, reranked, attack_query, attack_gallery]",
    )  # fmt: skip
    folder, task = tmp_path / "run", open_task(changed)
    train_run(changed, "none", 0, folder, task, "cpu")
    measure_run(changed, folder, task, "cpu")
    record = read_run(folder)
    assert len(record.suites) == 4
    for suite in record.suites.values():
        assert suite.settings["rules"]["same_camera"] == "no cameras: nothing removed"
        assert any("no camera ids" in note for note in suite.settings["notes"])
        assert (suite.settings["queries"], suite.settings["no_match"], suite.settings["gallery"]) == (4, 0, 12)
        assert "cam" not in record.samples[suite.name]
    assert all(0 <= line["val_mAP"] <= 1 for line in record.epochs)
    model, _ = load_model(folder / "model.safetensors")
    features = []
    with torch.no_grad():
        for side in (task.splits.query, task.splits.gallery):
            x = torch.stack([side.photos[row].image for row in range(len(side))])
            features.append(functional.normalize(model.eval()(x) + model(x.flip(3))).double().numpy())
    distances = ((features[0][:, None] - features[1][None]) ** 2).sum(2).tolist()
    columns = naive_columns(distances, task.splits.query, task.splits.gallery, cameras=False)
    assert record.suites["clean"].metrics["mAP"] == pytest.approx(np.mean(columns["ap"]), abs=1e-9)
