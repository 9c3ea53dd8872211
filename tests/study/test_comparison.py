"""Plans, searches and what is recognised: with a training that costs nothing, and once with a real one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import featmask
from featmask.errors import FeatmaskError
from featmask.jobs import Executor
from featmask.models import save_checkpoint
from featmask.records.checkpoint import Header
from featmask.records.run import RunInfo
from featmask.records.suite import Suite, write_suite
from featmask.study.comparing import plan
from featmask.study.fields import parse_recipe
from featmask.study.run import CHECKPOINT, study_folder
from featmask.study.tune import search as searching
from featmask.study.tune import tuning
from featmask.study.tune.space import space_of, with_options
from featmask.utils.source import code_version

RAW = {
    "name": "tiny",
    "data": {"name": "digits"},
    "model": {"name": "resnet8"},
    "train": {"epochs": 2, "batch_size": 128, "lr": 0.1, "tensorboard": False},
    "methods": {"none": {}, "dropout": {}, "lfm": {}},
    "tune": {"at": ["stem", "layer1"]},
    "evaluate": {"suites": ["clean"]},
}


def recipe(**changes):
    return parse_recipe({**RAW, **changes}, "a test")


@pytest.fixture
def pretend(monkeypatch):
    """Training whose validation accuracy is known: best at p = 0.3 behind layer1. Counts what was trained."""
    trained: list[dict] = []
    limit: list[int] = []

    def train_run(own, method, seed, folder, task, device):
        chosen = own.method(method)
        if limit and len(trained) == limit[0]:
            limit.clear()
            raise KeyboardInterrupt
        p = chosen.options["p"]
        trained.append({"method": method, "p": p, "at": chosen.at, "epochs": own.train.epochs, "seed": seed})
        if p < 0.04:
            raise FeatmaskError("the loss is not finite")
        figure = 0.9 - abs(p - 0.3) + 0.05 * (chosen.at == "layer1")
        run = RunInfo(method=method, seed=seed, best_by="val_accuracy", val_accuracy=figure)
        header = Header(recipe=own.plain(), run=run, classes=["a", "b"], mean=[0.5], std=[0.5])
        save_checkpoint(folder / CHECKPOINT, torch.nn.Linear(1, 1), header)

    monkeypatch.setattr(searching, "train_run", train_run)
    return trained, limit


def tuned(out, trials=6, **changes):
    return tuning.tune(recipe(**changes), ["none", "dropout", "lfm"], trials, Path(out), Executor(), "cpu")


def test_every_method_gets_the_same_budget_and_the_best_trial_is_taken(pretend, tmp_path):
    trained, _ = pretend
    found, record = tuned(tmp_path, tune={"at": ["stem", "layer1"], "epochs": 1})
    assert {name: len(entry.trials) for name, entry in record.methods.items()} == {
        "none": 0, "dropout": 6, "lfm": 6
    }  # fmt: skip
    assert {(t["epochs"], t["seed"]) for t in trained} == {(1, 1000)}
    for name in ("dropout", "lfm"):
        entry = record.methods[name]
        complete = [trial for trial in entry.trials if trial.state == "complete"]
        best = max(complete, key=lambda trial: trial.value)
        assert (entry.best.at, entry.best.options) == (best.at, best.options)
        assert entry.value == best.value
        chosen = found.method(name)
        assert (chosen.options["p"], chosen.at) == (best.options["p"], best.at)
    # the recipe's own options come first: a search never ends below them on validation data
    first = record.methods["lfm"].trials[0]
    assert (first.at, first.options["p"], first.options["area"]) == ("stem", 0.15, [0.02, 0.4])
    assert found.method("none") == recipe().method("none")
    assert (study_folder(tmp_path, recipe()) / "tune" / "recipe.tuned.yaml").is_file()


def test_a_search_that_was_interrupted_ends_where_an_undisturbed_one_does(pretend, tmp_path):
    trained, limit = pretend
    _, undisturbed = tuned(tmp_path / "whole")
    whole = list(trained)
    for place in (1, 4, 8):
        trained.clear()
        limit[:] = [place]
        with pytest.raises(KeyboardInterrupt):
            tuned(tmp_path / f"killed{place}")
        _, resumed = tuned(tmp_path / f"killed{place}")
        assert trained == whole
        assert resumed.methods == undisturbed.methods


def test_a_finished_search_is_not_repeated_and_a_larger_one_goes_on(pretend, tmp_path):
    trained, _ = pretend
    tuned(tmp_path, trials=3)
    assert len(trained) == 6
    tuned(tmp_path, trials=3)
    assert len(trained) == 6
    _, record = tuned(tmp_path, trials=5)
    assert len(trained) == 10
    assert len(record.methods["lfm"].trials) == 5


def test_a_trial_that_fails_costs_a_trial(pretend, tmp_path):
    _, record = tuned(tmp_path, trials=8, methods={"none": {}, "dropout": {"space": {"p": [0.001, 0.08]}}, "lfm": {}})
    states = [trial.state for trial in record.methods["dropout"].trials]
    assert len(states) == 8
    assert {"fail", "complete"} == set(states)
    assert record.methods["dropout"].trials[states.index("fail")].error == "the loss is not finite"


def test_tuning_refuses_to_look_at_the_comparisons_own_seeds(tmp_path):
    with pytest.raises(FeatmaskError, match="is a seed of the comparison"):
        tuned(tmp_path, seeds=3, tune={"seed": 2})


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ([0.5], "expected"), ([0.5, 0.1], "expected"), ("p", "expected"), ({"choices": []}, "expected"),
        ({"low": 0, "high": 1, "log": True}, "above 0"), ({"low": 0, "hi": 1}, "expected"), (["a", "b"], "expected"),
    ],
)  # fmt: skip
def test_a_space_that_cannot_be_searched_is_named(entry, wrong):
    with pytest.raises(FeatmaskError, match=rf"methods\.lfm\.space\.p.*{wrong}"):
        recipe(methods={"lfm": {"space": {"p": entry}}})


def test_an_empty_space_searches_nothing_and_input_layers_keep_their_place():
    assert space_of(recipe(methods={"lfm": {"space": {}}}), "lfm") == []
    assert [d.name for d in space_of(recipe(), "cutout")] == ["area"]
    assert "at" in [d.name for d in space_of(recipe(), "dropout")]


def test_a_place_that_the_model_lacks_is_told_before_a_trial_is_paid_for(pretend, tmp_path):
    trained, _ = pretend
    for places in (["stem", "blocks.0"], [["stem", "blocks.0"], "layer1"]):
        with pytest.raises(FeatmaskError, match=r"methods\.dropout, at .*blocks\.0: .*no module named"):
            tuned(tmp_path, tune={"at": places})
    with pytest.raises(FeatmaskError, match=r"methods\.lfm, at layer9: "):
        tuned(
            tmp_path,
            tune={},
            methods={"none": {}, "dropout": {}, "lfm": {"space": {"at": {"choices": ["stem", "layer9"]}}}},
        )
    assert trained == []


def test_options_that_were_found_go_into_the_recipe_beside_what_it_says():
    base = recipe(methods={"none": {}, "lfm": {"options": {"fill": "zero", "p": 0.1}}})
    found = with_options(base, "lfm", {"p": 0.4, "at": "layer1"})
    assert found.method("lfm").options == {"fill": "zero", "p": 0.4}
    assert found.method("lfm").at == "layer1"
    assert with_options(base, "dropblock", {"p": 0.2}).method("dropblock").layer == "dropblock"


CHANGES = {  # what is appended to a module of the package, or replaced in it: which fields' runs then are others
    "a comment": ("layers.py", "\n# changed\n", set()),
    "a docstring": ("attacks/ball.py", None, set()),
    "what both use": ("layers.py", "\nCHANGED = 1\n", {"classification", "reid"}),
    "what a registry may find": ("family/another.py", "CHANGED = 1\n", {"classification", "reid"}),
    "the wing of classification": ("classification/task.py", "\nCHANGED = 1\n", {"classification"}),
    "the wing of re-identification": ("reid/losses.py", "\nCHANGED = 1\n", {"reid"}),
    "scoring of searches": ("retrieval/scoring.py", "\nCHANGED = 1\n", {"reid"}),
    "what shows": ("report/__init__.py", "\nCHANGED = 1\n", set()),
    "what plans": ("study/planning.py", "\nCHANGED = 1\n", set()),
    "what asks": ("doctor/questions.py", "\nCHANGED = 1\n", set()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_code_that_a_field_runs_is_part_of_what_its_runs_are_recognised_by(change, tmp_path, monkeypatch):
    name, text, wanted = CHANGES[change]
    home, version = tmp_path / "featmask", code_version.__wrapped__
    shutil.copytree(Path(featmask.__file__).parent, home, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("featmask.utils.source.__file__", str(home / "utils" / "source.py"))
    fields = ("classification", "reid")
    before = {field: version(field) for field in fields}
    path = home / name
    old = path.read_text() if path.is_file() else ""
    path.write_text(old.replace('"""', '"""Other words. ', 1) if text is None else old + text)
    assert path.read_text() != old
    assert {field for field in fields if version(field) != before[field]} == wanted


def test_a_recipes_key_holds_the_code(monkeypatch):
    before = recipe().key()
    monkeypatch.setattr("featmask.recipe.base.code_version", lambda field: "another")
    assert recipe().key() != before


def test_where_options_are_searched_is_no_setting_of_a_run():
    assert recipe(methods={"lfm": {"space": {"p": [0.1, 0.2]}}}).key() == recipe(methods={"lfm": {}}).key()


def test_a_plan_says_what_is_left_and_writes_nothing(tmp_path):
    found = plan(recipe(), methods=["none", "lfm"], seeds=2, tune_trials=3, out=tmp_path)
    assert [(str(run), state) for run, state in found.runs] == [
        ("none, seed 0", "new"), ("none, seed 1", "new"), ("lfm, seed 0", "new"), ("lfm, seed 1", "new"),
    ]  # fmt: skip
    assert found.trials == {"lfm": 3}
    assert set(found.seconds) == {"tune lfm", *(str(run) for run, _ in found.runs)}
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert found.total == sum(found.seconds.values())
    # three trials of two epochs cost more than a run of two
    assert found.seconds["tune lfm"] > found.seconds["lfm, seed 0"]
    assert list(tmp_path.iterdir()) == []


def test_finished_runs_tell_how_long_the_rest_takes(tmp_path):
    own = recipe(seeds=2)
    folder = study_folder(tmp_path, own) / "none" / "seed-0"
    folder.mkdir(parents=True)
    told = {"method": "none", "seed": 0, "seconds_per_epoch": 7.0, "seconds_measuring": 5.0}
    (folder / "run.json").write_text(json.dumps({**told, "evaluate": own.plain()["evaluate"]}))
    assert plan(own, methods=["none"], out=tmp_path).runs[0][1] == "new", "its suite is not there"
    write_suite(folder, Suite("clean", "test", 1, {"accuracy": 1.0}), {"index": [0], "correct": [1]})
    found = plan(own, methods=["none"], out=tmp_path)
    assert [state for _, state in found.runs] == ["finished", "new"]
    assert found.seconds == {"none, seed 1": 2 * 7.0 + 5.0}
    begun = study_folder(tmp_path, own) / "none" / "seed-1"
    begun.mkdir()
    (begun / "train.jsonl").write_text('{"epoch": 1}\n')
    found = plan(own, methods=["none"], out=tmp_path)
    assert found.runs[1][1] == "to go on"
    assert found.seconds == {"none, seed 1": 7.0 + 5.0}
