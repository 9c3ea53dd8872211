"""Whatever measures a model does so in float32 with all of its bits, however torch was set before."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from featmask.classification.suites import Options, evaluate
from featmask.classification.suites.published import evaluate_published
from featmask.classification.task import Classification
from featmask.data import CorruptedSet, Photos
from featmask.doctor import examine
from featmask.evaluation.frozen import full_float32
from featmask.reid.attacks import MetricAttack
from featmask.reid.evaluation import attack_retrieval, describe
from featmask.study.fields import parse_recipe
from oracles.search import GALLERY, QUERY, Linear, make_side

NEWER = hasattr(torch.backends.cudnn, "conv")
SETTINGS = {
    "as torch comes": "",
    "matmul high": "torch.set_float32_matmul_precision('high')",
    "matmul medium": "torch.set_float32_matmul_precision('medium')",
    "older switches": "torch.backends.cuda.matmul.allow_tf32 = True",
    **({"newer switch": "torch.backends.fp32_precision = 'tf32'"} if NEWER else {}),
    **({"newer switch of one": "torch.backends.cuda.matmul.fp32_precision = 'tf32'"} if NEWER else {}),
}


def flag(name: str) -> object:
    """A flag's value, or that torch refuses to tell it."""
    try:
        return eval(f"torch.{name}")
    except RuntimeError:
        return "refused"


def flags() -> dict[str, object]:
    names = ["backends.cudnn.allow_tf32", "backends.cuda.matmul.allow_tf32", "get_float32_matmul_precision()"]
    parts = ("cudnn.conv", "cudnn.rnn", "cuda.matmul", "mkldnn.conv", "mkldnn.rnn", "mkldnn.matmul") if NEWER else ()
    return {name: flag(name) for name in [*names, *(f"backends.{part}.fp32_precision" for part in parts)]}


FULL = {"get_float32_matmul_precision()": "highest"}
EXACT = {name: FULL.get(name, False if name.endswith("tf32") else "ieee") for name in flags()}


@pytest.fixture(params=SETTINGS.values(), ids=SETTINGS)
def before(request):
    """How torch is set when a test begins; as it comes afterwards."""
    kept = flags()
    exec(request.param)
    yield flags()
    if NEWER:
        torch.backends.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    for name, value in kept.items():
        if not name.endswith("()"):
            exec(f"torch.{name} = {value!r}")
    assert flags() == kept


class Noting(nn.Module):
    """Notes the flags in each forward pass and, where there is one, each backward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.noted = model, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.noted.append(flags())
        out = self.model(x)
        if out.requires_grad:
            out.register_hook(lambda gradient: self.noted.append(flags()))
        return out


class Fog(CorruptedSet):
    name, kinds, severities, table, classes = "cifar10-c", ("fog",), (1, 2), "cifar", ()

    def _images(self, kind: str, severity: int) -> Photos:
        return make_side(QUERY, "q").photos


def classifier() -> Noting:
    return Noting(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10)))


def data(model: Noting) -> TensorDataset:
    x = torch.rand(40, 3, 8, 8)
    return TensorDataset(x, model.model(x).argmax(1))


def evaluating(suite: str):
    def door() -> list[Noting]:
        model, other = classifier(), classifier()
        options = Options(eps=("8/255",), steps=2, queries=5, attacks=("pgd", "square"), refine=1)
        evaluate(model, data(model), suite, options=options, surrogate=other if suite == "transfer" else None)
        return [model, other] if suite == "transfer" else [model]

    return door


def published() -> list[Noting]:
    model = classifier()
    evaluate_published(model, Fog())
    return [model]


def doctor() -> list[Noting]:
    model, twin = classifier(), classifier()
    examine(model, data(model), steps=2, queries=5, surrogate=twin)
    assert twin.noted
    return [model]


def search() -> list[Noting]:
    model = Noting(Linear())
    query, gallery = (describe(model, make_side(side, name)) for side, name in ((QUERY, "q"), (GALLERY, "g")))
    attack_retrieval(model, query, gallery, [MetricAttack("fna", Fraction(5, 255), steps=2)], limit=3)
    return [model]


def validation() -> list[Noting]:
    raw = {"name": "digits", "data": {"name": "digits"}, "model": {"name": "resnet8"}, "methods": {"none": None}}
    recipe = parse_recipe(raw, "here")
    task = Classification(recipe)
    model = Noting(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    task.training_task(recipe, task.model(recipe), 0).validate(model, torch.device("cpu"))
    return [model]


DOORS = {
    **{f"evaluate {name}": evaluating(name) for name in ("clean", "linf", "transfer", "corruptions", "occlusion")},
    "evaluate_published": published,
    "examine": doctor,
    "describe, attack_retrieval": search,
    "validate": validation,
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("before", [SETTINGS["matmul high"]], indirect=True)
def test_models_are_measured_in_full_float32(before, door):
    for model in door():
        assert model.noted
        assert all(noted == EXACT for noted in model.noted)
    assert flags() == before


def test_every_way_to_set_torch_is_overruled_and_comes_back(before):
    with full_float32():
        assert flags() == EXACT
        with full_float32():  # a model and its surrogate
            assert flags() == EXACT
        assert flags() == EXACT
    assert flags() == before


def test_settings_come_back_after_an_error(before):
    with pytest.raises(ZeroDivisionError), full_float32():
        raise ZeroDivisionError
    assert flags() == before
