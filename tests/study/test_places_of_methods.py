"""Places are checked for all methods at once, before anything is trained."""

from __future__ import annotations

import pytest
import torch

from featmask.errors import FeatmaskError
from featmask.study import run as running
from featmask.study.cached_task import cached_task
from featmask.study.comparing import compare
from featmask.study.fields import parse_recipe
from featmask.study.places import check_places

RAW = {
    "name": "tiny",
    "data": {"name": "digits"},
    "model": {"name": "resnet8"},
    "train": {"epochs": 1, "batch_size": 128, "lr": 0.1, "tensorboard": False},
    "evaluate": {"suites": ["clean"]},
}


def recipe(**methods):
    return parse_recipe({**RAW, "methods": {"none": {}, **methods}}, "a test")


class Counted:
    """A task that counts the models it makes."""

    def __init__(self, recipe):
        self.task, self.made = cached_task(recipe, measured=False), 0

    def __getattr__(self, name):
        return getattr(self.task, name)

    def model(self, recipe):
        self.made += 1
        return self.task.model(recipe)


def check(found, **searched):
    task = Counted(found)
    check_places(found, list(found.methods), task, searched)
    return task.made


def test_methods_share_a_model_and_nothing_is_left_behind():
    state = torch.get_rng_state()
    fine = recipe(lfm={"at": ["stem", "layer2"]}, dropout={"at": "layer1"}, cutout={"at": "nowhere"})
    assert check(fine) == 1, "layers on the image have their place"
    assert check(recipe(lfm={}, wide={"layer": "lfm", "set": {"model.name": "resnet20"}})) == 2
    assert check(recipe()) == 0, "the baseline goes nowhere"
    assert torch.equal(torch.get_rng_state(), state)


def test_every_wrong_place_is_told_at_once():
    wrong = recipe(lfm={"at": ["stem", "layer9"]}, dropout={}, lfm_strongest={"at": "fc"})
    with pytest.raises(FeatmaskError) as caught:
        check(wrong)
    lines = [line for line in str(caught.value).splitlines() if line.startswith("methods.")]
    assert [line.partition(":")[0] for line in lines] == [
        "methods.lfm, at stem, layer9",
        "methods.lfm_strongest, at fc",
    ]


def test_a_search_has_its_own_places():
    found = recipe(lfm={"at": "layer9"}, dropout={})
    assert check(found, lfm=["stem", ["layer1", "layer2"]]) == 1
    with pytest.raises(FeatmaskError, match=r"methods\.dropout, at layer8: "):
        check(found, lfm=["stem"], dropout=["stem", "layer8"])


def test_maps_that_a_layer_cannot_work_on():
    """Digits are 8 x 8 and even where a block of 7 shrinks to the map: torchvision raises in a forward."""
    with pytest.raises(FeatmaskError, match=r"methods\.dropblock, at layer3: block size should be odd"):
        check(recipe(dropblock={"at": "layer3"}))


def test_a_comparison_stops_before_its_first_training(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(running, "fit", lambda *given, **more: trained.append(given))
    with pytest.raises(FeatmaskError, match=r"methods\.lfm, at layer9: .*no module named"):
        compare(recipe(dropout={}, lfm={"at": "layer9"}), out=tmp_path)
    assert trained == []
    assert not list(tmp_path.rglob("recipe.yaml"))
