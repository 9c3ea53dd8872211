"""Attacks on classifiers: closed forms of linear models, budgets, and what an attack must leave alone."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import nn

from featmask.attacks import Attack, Draws, run
from featmask.attacks.apgd import Trajectory, adapt, checkpoints
from featmask.errors import FeatmaskError

NORMS = ("linf", "l2", "l1")
DUAL = {"linf": 1, "l2": 2, "l1": np.inf}
KINDS = ("fgsm", "pgd", "mifgsm", "apgd")
EPS = {"linf": Fraction(1, 20), "l2": Fraction(1, 2), "l1": Fraction(3)}


class Linear(nn.Module):
    """Logits W (x - 0.5) + b."""

    def __init__(self, classes: int, pixels: int) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(classes, pixels)), nn.Parameter(torch.randn(classes) / 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - 0.5).flatten(1) @ self.w.T + self.b


def draws(count: int) -> Draws:
    return Draws.of(0, range(count))


def distance(model: Linear, x: torch.Tensor, y: torch.Tensor, norm: str) -> torch.Tensor:
    """To the nearest decision boundary: min over other classes j of (z_y - z_j) / |w_y - w_j|_dual, in float64."""
    w, z = model.w.detach().double(), model(x).detach().double()
    found = []
    for number, label in enumerate(y.tolist()):
        others = [j for j in range(len(w)) if j != label]
        sizes = [float(torch.linalg.vector_norm(w[label] - w[j], ord=DUAL[norm])) for j in others]
        found.append(min(float(z[number, label] - z[number, j]) / size for j, size in zip(others, sizes, strict=True)))
    return torch.tensor(found)


def sizes(model, x, y, norm):
    """Images whose nearest boundary is so near that the box does not bind, and their distances."""
    radius = distance(model, x, y, norm)
    # nor so near that float32 rounds the logits across it
    inside = (radius > 0.002) & (radius < {"linf": 0.09, "l2": 0.2, "l1": 0.25}[norm])
    assert inside.sum() > 15
    return x[inside], y[inside], radius[inside].float()


@pytest.mark.parametrize("kind", ["pgd", "apgd", "mifgsm"])
@pytest.mark.parametrize("norm", NORMS)
def test_towards_every_class_the_nearest_boundary_of_several_is_found(kind, norm):
    model = Linear(5, 48)
    x = torch.rand(90, 3, 4, 4) * 0.4 + 0.3
    y = model(x).argmax(1)
    x, y, radius = sizes(model, x, y, norm)
    attack = Attack(kind, EPS[norm], norm, 30, float(EPS[norm]) / 4, loss="margin", targets=4)
    assert (model(run(attack, model, x, y, draws(len(y)), 1.02 * radius)).argmax(1) != y).all()
    assert (model(run(attack, model, x, y, draws(len(y)), 0.9995 * radius)).argmax(1) == y).all()


def steepest_score(w, x, eps, norm):
    """The largest w.(x' - x) within ball and box: a linear programme for L1, the root of the multiplier for L2."""
    up, down = np.where(w > 0, 1 - x, 0), np.where(w < 0, x, 0)
    room = up + down
    if norm == "linf":
        return float((np.abs(w) * np.minimum(room, eps)).sum())
    if norm == "l1":
        return -optimize.linprog(-np.abs(w), A_ub=np.ones((1, len(w))), b_ub=[eps], bounds=[(0, c) for c in room]).fun

    def change(scale):
        return np.minimum(scale * np.abs(w), room)

    if np.linalg.norm(room) <= eps:
        return float(np.abs(w) @ room)
    scale = optimize.brentq(lambda s: np.linalg.norm(change(s)) - eps, 0, 1e9, xtol=1e-14)
    return float(np.abs(w) @ change(scale))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", NORMS)
def test_where_the_box_binds_the_best_image_is_still_found(kind, norm):
    """A linear score's climb within ball and box, with most pixels at or near 0 and 1."""
    model = Linear(2, 12)
    x = (torch.rand(30, 1, 3, 4) * 2 - 0.5).clamp(0, 1)
    y = model(x).argmax(1)
    model.b.data[0] += 100  # out of reach: nothing is broken, and every step is made
    y[:] = 0
    eps = {"linf": 0.4, "l2": 0.9, "l1": 2.0}[norm]
    found = run(Attack(kind, Fraction(eps), norm, steps=60, step_size=eps / 10), model, x, y, draws(30))
    w = (model.w[1] - model.w[0]).detach().double().numpy()
    for number in range(30):
        clean = x[number].flatten().double().numpy()
        climbed = float((found[number] - x[number]).flatten().double().numpy() @ w)
        best = steepest_score(w, clean, eps, norm)
        assert climbed <= best * (1 + 1e-5)
        assert climbed >= best * {"fgsm": 0.9999, "apgd": 0.97}.get(kind, 0.98)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_apgd_settles_where_the_objective_is_highest(norm):
    """A paraboloid whose top lies in the ball: steps that are not halved leap across it to the end."""
    x = torch.rand(20, 1, 4, 4) * 0.4 + 0.3
    eps = {"linf": 0.1, "l2": 0.3}[norm]
    top = x + 0.4 * eps * (torch.rand_like(x) * 2 - 1) / (1 if norm == "linf" else 4)

    def model(pixels):
        far = (pixels - top[: len(pixels)]).square().flatten(1).sum(1)
        return torch.stack([0 * far, -1 - far], 1)

    y = torch.zeros(20, dtype=torch.long)
    found = run(Attack("apgd", Fraction(eps), norm, steps=100), model, x, y, draws(20))
    assert (found - top).abs().max() < eps / 50


def test_checkpoints_are_the_paper_s():
    """w = ceil(p N) with p = 0, 0.22, then p + max(last gap - 0.03, 0.06) (Croce and Hein 2020, section 3.1)."""
    assert list(checkpoints("linf", 100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints("l2", 20) == {5: 5, 9: 4, 12: 3, 14: 2, 16: 2, 18: 2, 19: 1, 20: 1}
    assert checkpoints("linf", 1) == {1: 1}
    assert list(checkpoints("l1", 100)) == list(range(4, 100, 4))


def test_a_step_is_halved_after_too_few_climbs_or_without_gain():
    """Both conditions of the paper, for every combination: the second only after a look that halved nothing."""
    cases = list(itertools.product((1, 3, 4), (False, True), (0.0, 1.0)))
    rows = torch.arange(len(cases))
    image, number = rows[:, None, None, None].float(), torch.zeros(len(cases))
    path = Trajectory(
        rows, image, image, rows, None, image, image, image, number, best=image + 100, best_gradient=image + 200,
        best_value=torch.tensor([gain for _, _, gain in cases]), step=torch.ones_like(image),
        climbed=torch.tensor([climbed for climbed, _, _ in cases]), checked=number,
        halved=torch.tensor([halved for _, halved, _ in cases]), pixels=image, spread=image,
    )  # fmt: skip
    adapt(path, 4)
    for row, (climbed, halved, gain) in enumerate(cases):
        expected = climbed <= 3 or (not halved and gain == 0)
        assert bool(path.halved[row]) == expected
        assert float(path.step[row]) == (0.5 if expected else 1)
        assert float(path.now[row]) == float(path.before[row]) == row + (100 if expected else 0)
        assert float(path.gradient[row]) == row + (200 if expected else 0)
    assert torch.equal(path.checked, path.best_value)
    assert not path.climbed.any()


def test_an_explicit_step_size_is_scaled_with_the_radius():
    model = small_network()
    x = torch.rand(20, 1, 12, 12)
    y = model(x).argmax(1)
    for norm in NORMS:
        small, large = (Attack("pgd", k * EPS[norm] / 40, norm, 2, k * float(EPS[norm]) / 400) for k in (1, 2))
        radii = torch.full((20,), float(large.eps))
        assert torch.allclose(run(small, model, x, y, draws(20), radii), run(large, model, x, y, draws(20)), atol=1e-6)


def small_network(classes: int = 5) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, classes)
    ).eval()


@pytest.mark.parametrize("kind", ["pgd", "mifgsm", "apgd"])
def test_more_steps_and_restarts_break_more(kind):
    model = small_network()
    x = torch.rand(150, 1, 12, 12)
    y = model(x).argmax(1)

    def robust(attack):
        return int((model(run(attack, model, x, y, draws(150))).argmax(1) == y).sum())

    one = robust(Attack("fgsm", Fraction(3, 100)))
    few = robust(Attack(kind, Fraction(3, 100), steps=3))
    many = robust(Attack(kind, Fraction(3, 100), steps=20, restarts=2))
    assert 0 < many <= few
    assert many < one < 150


def test_targeted_attacks_reach_their_target():
    """At a generous radius most samples end at their likeliest other class; some meet another on the way."""
    model = small_network()
    x = torch.rand(100, 1, 12, 12)
    logits = model(x)
    y, second = logits.topk(2).indices.unbind(1)
    for norm in NORMS:
        for kind, loss in (("pgd", "ce"), ("apgd", "margin"), ("apgd", "dlr"), ("mifgsm", "margin")):
            attack = Attack(kind, 4 * EPS[norm], norm, steps=20, loss=loss, targets=1)
            reached = model(run(attack, model, x, y, draws(100))).argmax(1)
            assert (reached == second).double().mean() > 0.9


def test_names_records_and_fewest_classes():
    assert Attack("pgd", Fraction(2, 255)).name == "pgd@2/255"
    assert Attack("fgsm", Fraction(1, 510)).name == "fgsm@0.5/255"
    attack = Attack("apgd", Fraction(1, 2), "l2", loss="dlr", targets=3)
    assert attack.name == "apgd-dlr-t-l2@0.5"
    assert attack.needs_classes == 4
    assert Attack("apgd", Fraction(1, 2), loss="dlr").needs_classes == 3
    assert Attack("pgd", Fraction(1, 2), targets=9).needs_classes == 1
    assert attack.plain() == {
        "name": "apgd-dlr-t-l2@0.5", "kind": "apgd", "eps": "1/2", "norm": "l2", "steps": 10, "restarts": 1,
        "loss": "dlr", "targets": 3, "eot": 1,
    }  # fmt: skip
    assert (
        Attack("mifgsm", Fraction(2, 255), step_size=0.01).plain().items()
        >= {"step_size": 0.01, "momentum": 1.0}.items()
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"eps": Fraction(8)}, "8/255"),
        ({"eps": Fraction(-1), "norm": "l2"}, "0 or more"),
        ({"steps": 0}, "1 or more"),
        ({"restarts": 0}, "1 or more"),
        ({"eot": 0}, "1 or more"),
        ({"step_size": 0.0}, "above 0"),
        ({"targets": -1}, "number of classes"),
        ({"momentum": -1.0}, "0 or more"),
        ({"kind": "cw"}, "mifgsm"),
        ({"norm": "l0"}, "linf, l2, l1"),
        ({"loss": "hinge"}, "ce, margin, dlr"),
    ],
)
def test_attacks_that_make_no_sense_are_refused(keys, message):
    with pytest.raises(FeatmaskError, match=message):
        Attack(**{"kind": "pgd", "eps": Fraction(1, 255), **keys})


def test_arrays_that_do_not_fit_are_refused():
    model, x, y = small_network(), torch.rand(4, 1, 12, 12), torch.zeros(4, dtype=torch.long)
    attack = Attack("pgd", Fraction(1, 255))
    for pixels, labels, eps, message in (
        (x[0], y, None, "expected pixels"),
        (x, y[:3], None, "integer labels"),
        (x, y.float(), None, "integer labels"),
        (2 * x, y, None, "normalisation belongs"),
        (x * torch.nan, y, None, "normalisation belongs"),
        (x, y, torch.ones(3), "a radius"),
        (x, y, -torch.ones(4), "a radius"),
    ):
        with pytest.raises(FeatmaskError, match=message):
            run(attack, model, pixels, labels, draws(4), eps)
    with pytest.raises(FeatmaskError, match="no gradient reaches"):
        run(attack, lambda x: model(x.detach()), x, model(x).argmax(1), draws(4))
    with pytest.raises(FeatmaskError, match=r"\(N, classes\)"):
        run(attack, lambda x: x, x, y, draws(4))
    for classes, targets in ((2, 0), (3, 1)):
        network = small_network(classes)
        with pytest.raises(FeatmaskError, match="classes"):
            run(
                Attack("apgd", Fraction(1, 255), loss="dlr", targets=targets),
                network,
                x,
                network(x).argmax(1),
                draws(4),
            )
    assert run(attack, model, x[:0], y[:0], draws(0)).shape == (0, 1, 12, 12)
