"""What holds of every attack in the table: a new one is tested here by its row alone, as the dummy is."""

from __future__ import annotations

import json
from fractions import Fraction

import dummy_attack  # noqa: F401 - adds its row
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from featmask.attacks import ATTACKS, Attack, Draws, Transfer, run
from featmask.attacks.registry import presets
from featmask.classification.suites import evaluate
from featmask.classification.suites.named import method
from featmask.errors import FeatmaskError

DUAL = {"linf": 1, "l2": 2, "l1": torch.inf}
ORDER = {"linf": torch.inf, "l2": 2, "l1": 1}
EPS = {"linf": Fraction(1, 20), "l2": Fraction(1, 2), "l1": Fraction(3)}
# AutoAttack on models that are not random is held beside its library elsewhere: this version asks no Square
VERSION = {"autoattack": {"version": "rand"}}
EVERY = dict(ATTACKS)
BALLS = [(kind, norm) for kind, row in EVERY.items() if not row.surrogate for norm in row.norms]
OURS = [(kind, norm) for kind, norm in BALLS if EVERY[kind].spec is Attack]
CASES = [*BALLS, *((kind, None) for kind, row in EVERY.items() if not row.norms), ("transfer", "linf")]
del ATTACKS["ifgsm"]  # until these tests run: others list what the package has


@pytest.fixture(autouse=True)
def _with_the_dummy(monkeypatch, request):
    monkeypatch.setitem(ATTACKS, "ifgsm", EVERY["ifgsm"])
    if "autoattack" in request.node.name:
        request.getfixturevalue("short")


def made(kind, norm, eps=None, **settings):
    """The attack with settings that cost little, of those that it has."""
    row = EVERY[kind]
    if row.surrogate:
        return Transfer(Attack("pgd", EPS[norm], steps=3, restarts=2), network(seed=1))
    values = {
        "kind": kind, "norm": norm, "eps": EPS.get(norm) if eps is None else eps, "size": Fraction(1, 4),
        "steps": 10, "restarts": 2, **VERSION.get(kind, {}), **settings,
    }  # fmt: skip
    return row.spec(**{key: value for key, value in values.items() if key in row.keys})


def draws(count):
    return Draws.of(0, range(count), "a")


class Linear(nn.Module):
    """Two classes, the margin w.(x - 0.5) + b."""

    def __init__(self, pixels=48, b=0.0):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(pixels)), b

    def forward(self, x):
        margin = (x - 0.5).flatten(1) @ self.w + self.b
        return torch.stack([margin, -margin], 1) / 2


def network(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    layers = (nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5))
    return nn.Sequential(*layers).eval().to(dtype)


@pytest.mark.parametrize(("kind", "norm"), BALLS)
def test_robust_accuracy_of_a_linear_model_is_its_closed_form(kind, norm):
    """A sample falls iff its margin is below eps times the dual norm of w; without gradients none falls beyond."""
    model, x = Linear(), torch.rand(90, 3, 4, 4) * 0.4 + 0.3
    y = model(x).argmax(1)
    distance = ((x - 0.5).flatten(1) @ model.w).abs() / torch.linalg.vector_norm(model.w, ord=DUAL[norm])
    distance = distance.detach().double()
    near = distance < {"linf": 0.09, "l2": 0.2, "l1": 0.25}[norm]  # the box does not bind
    x, y, distance = x[near], y[near], distance[near]
    eps = float(distance.median()) * 1.0001
    settings = [{"loss": loss, "targets": targets} for loss in ("ce", "margin") for targets in (0, 3)]
    for more in settings if "loss" in EVERY[kind].settings else [{}]:
        attack = made(kind, norm, Fraction(eps), steps=30, **more)
        stands = model(attack.run(model, x, y, draws(len(y)))).argmax(1) == y
        assert stands[distance > eps * 1.0005].all()
        if EVERY[kind].gradients:
            assert not stands[distance < eps * 0.98].any()
    assert 10 < (distance < eps * 0.98).sum() < len(y) - 10


@pytest.mark.parametrize(("kind", "norm"), OURS)
def test_each_sample_has_a_radius_of_its_own(kind, norm):
    """Norms of the changes, in float64 from the pixels alone; many pixels lie on the box."""
    model, x = network(), (torch.rand(48, 1, 12, 12) * 1.4 - 0.2).clamp(0, 1)
    y, radii = model(x).argmax(1), torch.linspace(0, 2, 48) * float(EPS[norm])
    found = run(made(kind, norm), model, x, y, draws(48), radii)
    change = torch.linalg.vector_norm((found.double() - x.double()).flatten(1), ord=ORDER[norm], dim=1)
    assert (change <= radii + 1e-6).all()
    assert (change[1:] > 0).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(found[0], x[0])


@pytest.mark.parametrize(("kind", "norm"), CASES)
def test_budget_and_box_hold_and_the_wrong_come_back_as_they_are(kind, norm):
    model, x = network(), (torch.rand(30, 1, 12, 12) * 1.4 - 0.2).clamp(0, 1)
    y = model(x).argmax(1)
    y[::3] = (y[::3] + 1) % 5
    attack = made(kind, norm)
    found = attack.run(model, x, y, draws(30))
    attack.check(found, x)
    right = torch.arange(30) % 3 > 0
    # AutoAttack gives the clean pixels of those that it did not break
    moved = (found != x).flatten(1).any(1)
    assert not moved[~right].any()
    assert moved[right].all() if kind != "autoattack" else moved.any()
    if norm is not None:
        change = torch.linalg.vector_norm((found.double() - x.double()).flatten(1), ord=ORDER[norm], dim=1)
        assert change.max() <= float(EPS[norm]) + 1e-6
        assert change.max() > float(EPS[norm]) / 4
    assert found.min() >= 0
    assert found.max() <= 1
    assert attack.run(model, x[:0], y[:0], draws(0)).shape == (0, 1, 12, 12)


@pytest.mark.parametrize(("kind", "norm"), BALLS)
def test_no_budget_changes_nothing(kind, norm):
    model, x = network(), torch.rand(10, 1, 12, 12)
    assert torch.equal(made(kind, norm, Fraction(0)).run(model, x, model(x).argmax(1), draws(10)), x)


@pytest.mark.parametrize(("kind", "norm"), [case for case in CASES if case[0] != "autoattack"])
def test_a_sample_s_result_does_not_depend_on_its_batch(kind, norm):
    """In float64, where batches of other sizes round alike; AutoAttack has one stream for all."""
    model, x = network(dtype=torch.float64), torch.rand(24, 1, 12, 12).double()
    y = model(x).argmax(1)
    y[::7] = (y[::7] + 1) % 5
    attack = made(kind, norm, loss="margin", targets=2)
    if EVERY[kind].surrogate:
        attack.surrogate.double()
    together = attack.run(model, x, y, draws(24))
    order = torch.randperm(24)
    turned = attack.run(model, x[order], y[order], Draws.of(0, order.tolist(), "a"))
    assert torch.allclose(turned, together[order], atol=1e-9)
    for number in (0, 3, 23):
        rows = slice(number, number + 1)
        alone = attack.run(model, x[rows], y[rows], Draws.of(0, [number], "a"))
        assert torch.allclose(alone, together[rows], atol=1e-9)


@pytest.mark.parametrize(("kind", "norm"), CASES)
def test_model_pixels_and_random_state_are_left_alone(kind, norm):
    model, x, y = network().train(), torch.rand(8, 1, 12, 12), torch.zeros(8, dtype=torch.long)
    attack, before, labels, state = made(kind, norm), x.clone(), y.clone(), torch.get_rng_state()
    attack.run(model, x, y, draws(8))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, before)
    assert torch.equal(y, labels)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())
    with torch.inference_mode():
        found = attack.run(model, x, y, draws(8))
    assert not found.is_inference()


class Counting(nn.Module):
    """Two weights that take turns from pass to pass; counts passes that a gradient is asked for."""

    def __init__(self, *weights):
        super().__init__()
        self.weights, self.passes, self.climbed = weights, 0, 0

    def forward(self, x):
        w = self.weights[self.passes % len(self.weights)]
        self.passes, self.climbed = self.passes + 1, self.climbed + x.requires_grad
        margin = (x - 0.5).flatten(1) @ w + 100  # out of reach
        return torch.stack([margin, -margin], 1) / 2


@pytest.mark.parametrize(
    ("kind", "norm"), [(kind, norm) for kind, norm in OURS if EVERY[kind].gradients and "eot" in EVERY[kind].settings]
)
def test_gradients_are_means_over_passes(kind, norm):
    """Of two weights that take turns, the climb is as if their mean were the model's; each pass is a model's pass."""
    first, second = torch.randn(2, 48) * torch.tensor([[1.0], [3.0]])
    x, y = torch.rand(6, 3, 4, 4) * 0.2 + 0.4, torch.zeros(6, dtype=torch.long)
    both, mean = Counting(first, second), Counting((first + second) / 2)
    found = run(made(kind, norm, EPS[norm] / 10, eot=2), both, x, y, draws(6))
    expected = run(made(kind, norm, EPS[norm] / 10), mean, x, y, draws(6))
    climbs = [(x - moved).flatten(1) @ (first + second) for moved in (found, expected)]
    assert torch.allclose(*climbs, rtol=1e-3)
    assert both.climbed == 2 * mean.climbed > 0
    assert both.passes == 2 * mean.passes


@pytest.mark.parametrize(("kind", "norm"), CASES)
def test_only_those_that_need_gradients_ask_for_them(kind, norm):
    model, x, y = network(), torch.rand(6, 1, 12, 12), torch.zeros(6, dtype=torch.long)

    def cut(x):
        return model(x.detach()) + torch.tensor([9.0, 0, 0, 0, 0])

    attack = made(kind, norm)
    assert attack.gradients == EVERY[kind].gradients
    if attack.gradients and kind != "autoattack":  # which has attacks that need none
        with pytest.raises(FeatmaskError, match="no gradient reaches"):
            attack.run(cut, x, y, draws(6))
    else:
        attack.check(attack.run(cut, x, y, draws(6)), x)


@pytest.mark.parametrize(("kind", "norm"), CASES)
def test_a_record_s_values_build_the_attack_again(kind, norm):
    unusual = {"step_size": 0.01, "loss": "margin", "targets": 2, "momentum": 0.5, "eot": 3}
    attack = made(kind, norm, **{key: value for key, value in unusual.items() if key in EVERY[kind].settings})
    plain = json.loads(json.dumps(attack.plain()))
    assert plain.pop("name") == attack.name
    plain.pop("library", None)
    if EVERY[kind].surrogate:
        with pytest.raises(FeatmaskError, match=r"expected one of .*pgd.*; got 'transfer'"):
            method(plain)
    else:
        assert method(plain) == attack


def test_norms_that_an_attack_does_not_work_in_are_refused():
    with pytest.raises(FeatmaskError, match="norm: expected one of linf; got 'l2'"):
        Attack("ifgsm", Fraction(1, 2), "l2")


def test_suites_offer_every_preset():
    model, x = network(), torch.rand(6, 1, 12, 12)
    names = tuple(presets())
    assert {"ifgsm", "ifgsm-margin", "apgd-t", "square"} <= set(names)
    found = evaluate(
        model, TensorDataset(x, model(x).argmax(1)), "linf", attacks=names, eps=["2/255"], steps=2, queries=3, refine=1
    )
    measured = {attack["name"]: attack for attack in found.suite.settings["attacks"]}
    assert {name.replace("apgd-t", "apgd-dlr-t") + "@2/255" for name in names} == set(measured)
    assert measured["ifgsm-margin@2/255"]["steps"] == 2
    assert measured["square@2/255"]["steps"] == 3
