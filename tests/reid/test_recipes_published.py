"""The shipped re-identification recipes against the published settings, number by number.

Sources: layumi/Person_reID_baseline_pytorch (train.py, model.py, README: baseline and "all tricks"), JDAI-CV/fast-reid
(configs/Base-bagtricks.yml), and the code of the LFM paper (p, place, grey patches).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from featmask.family import build_layer
from featmask.reid.recipe import ReidRecipe
from featmask.reid.training import rate_scale
from featmask.study.fields import read_recipe
from featmask.training.optimiser import loss_scale_at, make_optimizer, rate_at

RECIPES = Path(__file__).parents[2] / "recipes"
SETS = ("market1501", "dukemtmc")

SGD = {
    "train.optimizer": "sgd", "train.momentum": 0.9, "train.weight_decay": 5e-4, "train.decay_all": True,
    "train.epochs": 60, "train.schedule": "steps", "train.milestones": (40.0,), "train.gamma": 0.1,
    "train.backbone_rate": 0.1, "train.images_per_person": 0, "train.losses": {"cross_entropy": {}},
}  # fmt: skip
IMAGES = {"data.height": 256, "data.width": 128, "augment.flip": 0.5, "augment.pad": 10, "augment.jitter": 0.0,
          "augment.grey_patch": 0.0}  # fmt: skip
CLASSBLOCK = {"model.name": "resnet50.tv_in1k", "model.pretrained": True, "model.head": "classblock",
              "model.bottleneck": 512, "model.dropout": 0.5, "model.pool": "gap"}  # fmt: skip
PUBLISHED = {
    "layumi": {
        **SGD, **IMAGES, **CLASSBLOCK, "train.lr": 0.05, "train.batch_size": 32, "model.last_stride": 2,
        "augment.erasing": 0.0, "train.warmup_epochs": 0.0, "train.warmup_steps": 0,
        "evaluate.flip": True, "evaluate.average_precision": "trapezoid",
    },
    "layumi_tricks": {
        **SGD, **IMAGES, **CLASSBLOCK, "train.lr": 0.02, "train.batch_size": 8, "model.last_stride": 1,
        "augment.erasing": 0.5, "train.warmup_epochs": 5.0, "train.warmup_start": 0.1, "train.warmup_of": "loss",
        "evaluate.flip": True, "evaluate.average_precision": "trapezoid",
    },
    "bot": {
        **IMAGES, "train.optimizer": "adam", "train.lr": 3.5e-4, "train.weight_decay": 5e-4, "train.decay_all": True,
        "train.epochs": 120, "train.schedule": "steps", "train.milestones": (40.0, 90.0), "train.gamma": 0.1,
        "train.warmup_steps": 2000, "train.warmup_start": 0.1, "train.warmup_of": "rate",
        "train.batch_size": 64, "train.persons": 16, "train.images_per_person": 4, "train.backbone_rate": 1.0,
        "train.losses": {"cross_entropy": {"smoothing": 0.1}, "triplet": {"margin": 0.3}},
        "model.name": "resnet50.tv_in1k", "model.pretrained": True, "model.head": "bnneck", "model.last_stride": 1,
        "model.pool": "gap", "augment.erasing": 0.5, "evaluate.flip": False, "evaluate.average_precision": "standard",
    },
}  # fmt: skip


def recipe(data: str, kind: str) -> ReidRecipe:
    found = read_recipe(RECIPES / f"{data}_{kind}.yaml")
    assert isinstance(found, ReidRecipe)
    return found


@pytest.mark.parametrize("data", SETS)
@pytest.mark.parametrize("kind", PUBLISHED)
def test_settings_equal_the_published_ones(data, kind):
    found = recipe(data, kind)
    assert found.data.name == data
    for key, value in PUBLISHED[kind].items():
        section, _, name = key.partition(".")
        assert getattr(getattr(found, section), name) == value, key
    assert "not run" in found.note.lower()


@pytest.mark.parametrize("data", SETS)
@pytest.mark.parametrize("kind", PUBLISHED)
def test_lfm_is_off_and_on_with_the_papers_settings(data, kind):
    found = recipe(data, kind)
    assert list(found.methods)[:3] == ["none", "lfm", "lfm_published"]
    for name in ("lfm", "lfm_published"):
        method = found.method(name)
        assert method.at == "stem"  # conv1, before bn1
        layer = build_layer(method.layer, **method.options)
        assert layer is not None
        assert layer.p == 0.15
    if kind == "layumi_tricks":
        assert found.under("lfm_published_lgpr").augment.grey_patch == 0.4
        assert found.method("lfm_published_lgpr").layer == "lfm_published"


def test_rates_along_the_way():
    """layumi: 0.05 for the head, 0.005 for the backbone, a tenth from epoch 40 on. BoT: 2,000 steps of warming up."""
    import torch

    from featmask.reid.models import build_embedder

    layumi, tricks, bot = (recipe("market1501", kind).train for kind in PUBLISHED)
    model = torch.nn.ModuleDict({"model": build_embedder("resnet8", num_ids=4, head="classblock")})
    scale = rate_scale(layumi)
    groups = {
        id(parameter): group["scale"] * layumi.lr
        for group in make_optimizer(model, layumi, scale).param_groups
        for parameter in group["params"]
    }
    rates = {name: groups[id(parameter)] for name, parameter in model.named_parameters()}
    assert {rate for name, rate in rates.items() if ".head." in name} == {0.05}
    assert {round(rate, 12) for name, rate in rates.items() if ".backbone." in name} == {0.005}
    decays = {group["weight_decay"] for group in make_optimizer(model, layumi, scale).param_groups}
    assert decays == {5e-4}
    assert rate_at(layumi, 39.99, 0, 400) == 0.05
    assert rate_at(layumi, 40.0, 40 * 400, 400) == pytest.approx(0.005)
    steps = 1617  # of 12,936 images in eights
    assert loss_scale_at(tricks, 0, steps) == pytest.approx(0.1, abs=2e-4)
    assert loss_scale_at(tricks, 5 * steps // 2, steps) == pytest.approx(0.55, abs=1e-3)
    assert loss_scale_at(tricks, 5 * steps, steps) == 1.0
    assert rate_at(tricks, 0.0, 0, steps) == 0.02
    assert rate_at(bot, 0.0, 0, 203) == pytest.approx(3.5e-5, rel=0.01)
    assert rate_at(bot, 5.0, 1000, 203) == pytest.approx(3.5e-4 * 0.55, rel=0.01)
    assert rate_at(bot, 10.0, 2000, 203) == 3.5e-4
    assert [rate_at(bot, epoch, 203 * epoch, 203) for epoch in (39, 40, 90)] == pytest.approx([3.5e-4, 3.5e-5, 3.5e-6])
