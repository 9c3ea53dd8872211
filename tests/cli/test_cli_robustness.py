"""The verbs that measure robustness, from the command line to the files that they leave."""

from __future__ import annotations

import json

import pytest
import torch

from featmask.records.suite import read_suite
from featmask.study.run import load_model

SMALL = ("--limit", 20, "--set", "evaluate.steps=3", "--set", "evaluate.refine=1", "--set", "evaluate.queries=5",
         "--set", "evaluate.squares=[25%]", "--set", "evaluate.corruptions=[contrast,fog]",
         "--set", "evaluate.severities=[1,5]", "--device", "cpu")  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Digits, one epoch."""
    from featmask.study.fields import open_task, parse_recipe
    from featmask.study.run import run_folder, train_run

    torch.set_num_threads(1)
    recipe = parse_recipe(
        {
            "name": "tiny",
            "data": {"name": "digits"},
            "model": {"name": "resnet8"},
            "train": {"epochs": 2, "batch_size": 64, "lr": 0.1, "tensorboard": False},
            "methods": {"none": {}, "lfm": {}},
            "evaluate": {"eps": ["8/255"], "l2_eps": ["0.5"], "batch_size": 16},
        },
        "here",
    )
    folder = run_folder(tmp_path_factory.mktemp("runs"), recipe, "lfm", 0)
    train_run(recipe, "lfm", 0, folder, open_task(recipe), "cpu")
    return folder / "model.safetensors"


@pytest.fixture
def recipe(checkpoint):
    return checkpoint.parent / "recipe.yaml"


def test_every_suite_but_autoattack_leaves_its_record_and_a_page(call, fails, checkpoint, tmp_path):
    suites = ("clean", "linf", "l2", "blackbox", "corruptions", "occlusion")
    asked = [part for name in suites for part in ("--suite", name)]
    code, stdout, stderr = call("evaluate", checkpoint, *asked, *SMALL, "--ood", "digits", "--save", tmp_path)
    assert code == 0, stderr
    assert "contrast" in stdout
    for name in suites:
        suite, samples = read_suite(tmp_path / "eval" / f"{name}.json")
        assert suite.n == 20
        assert len(samples["index"]) == 20
        assert not list((tmp_path / "eval").glob("*.partial*"))
    subject = json.loads((tmp_path / "subject.json").read_text())
    assert (subject["method"], subject["seed"], subject["data"]) == ("lfm", 0, "digits")
    assert subject["command"].startswith("featmask evaluate")
    (tmp_path / "subject.json").write_text(json.dumps(subject | {"sha256": "0"}))
    fails("evaluate", checkpoint, "--suite", "clean", "--save", tmp_path, says="another model")
    code, stdout, stderr = call("report", tmp_path, "--json")
    assert code == 0, stderr
    page = tmp_path / "robustness.html"
    assert json.loads(stdout)["robustness.html"] == str(page)
    assert "contrast" in page.read_text()


def test_a_checkpoint_attacks_another_in_its_place(call, checkpoint, tmp_path):
    code, stdout, stderr = call(
        "evaluate", checkpoint, "--suite", "clean", "--surrogate", checkpoint, *SMALL, "--json", "--save", tmp_path
    )
    assert code == 0, stderr
    clean, transfer = json.loads(stdout)
    assert (clean["name"], transfer["name"]) == ("clean", "transfer")
    assert "transfer-pgd@8/255" in transfer["metrics"]


def test_the_doctor_writes_its_record_and_says_whom_to_trust(call, checkpoint, tmp_path):
    code, stdout, stderr = call("doctor", checkpoint, "--samples", 24, "--save", tmp_path, "--json", "--device", "cpu")
    told = json.loads(stdout)
    assert code == (0 if told["trusted"] else 1), stderr
    assert told["checks"] == json.loads((tmp_path / "doctor.json").read_text())["checks"]
    assert {check["group"] for check in told["checks"]} == {"set-up", "gradients", "attacks"}


def test_an_exported_model_is_measured_on_a_recipes_data(call, fails, checkpoint, recipe, tmp_path):
    model = load_model(checkpoint)[0].eval()
    path = tmp_path / "model.ts"
    torch.jit.trace(model, torch.rand(2, 1, 8, 8)).save(path)
    code, stdout, stderr = call(
        "evaluate", path, "--recipe", recipe, "--mean", "0", "--std", "1", "--suite", "linf", *SMALL, "--json"
    )
    assert code == 0, stderr
    theirs = json.loads(stdout)[0]["metrics"]
    _, stdout, _ = call("evaluate", checkpoint, "--suite", "linf", *SMALL, "--json")
    ours = json.loads(stdout)[0]["metrics"]
    assert theirs["clean"] == ours["clean"]
    assert theirs["worst@8/255"] == pytest.approx(ours["worst@8/255"], abs=0.051)
    fails("evaluate", path, says="--recipe")
    fails("evaluate", checkpoint, "--mean", "0", says="holds its own")
    fails("evaluate", path, "--recipe", recipe, "--mean", "a", "--std", "1", says="expected numbers")


def test_mistakes_end_before_anything_is_computed(fails, checkpoint, tmp_path):
    fails("evaluate", checkpoint, "--suite", "magic", says="clean, linf, l2")
    fails("evaluate", checkpoint, "--suite", "transfer", says="--surrogate")
    fails("evaluate", checkpoint, "--ood", "nothing", says="a folder of images")
    fails("evaluate", checkpoint, "--corrupted", tmp_path / "none", says="none")
    fails("evaluate", checkpoint, "--suite", "mine.yaml", says="cannot read the suite")
    fails("evaluate", checkpoint, "--rerank", says="re-identification")
    fails("doctor", tmp_path / "none.safetensors", says="no checkpoint")
    fails("doctor", checkpoint, "--eps", "x", says="8/255")
    fails("report", tmp_path / "none", says="none")
