"""Square, noise and transfer: closed forms of linear models, statistics, and pyautoattack as a peer."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from torch import nn

from featmask.attacks import Attack, Draws, Transfer, check_budget, run
from featmask.attacks.noise import gaussian_change, uniform_change
from featmask.attacks.regions import window
from featmask.attacks.square import Search, bump, side_at
from featmask.attacks.transfer import Held
from featmask.errors import FeatmaskError

NORMS = ("linf", "l2", "l1")
LIBRARY = {"linf": "Linf", "l2": "L2", "l1": "L1"}


class Linear(nn.Module):
    """Two classes, logits +-(w.x + b)/2: the margin of class 1 falls at most by eps times the dual norm of w."""

    def __init__(self, w, b=0.0):
        super().__init__()
        self.w, self.b, self.rows = nn.Parameter(w), b, []

    def forward(self, x):
        self.rows.append(len(x))
        score = (x - 0.5).flatten(1) @ self.w + self.b
        return torch.stack([-score, score], 1) / 2


def radii(count, value):
    return torch.full((count, 1, 1, 1), float(value))


def grey(count, channels=1, side=6):
    """Away from 0 and 1, so that the box does not bind."""
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4


@pytest.mark.parametrize(("norm", "dual", "share"), [("linf", 1, 0.99), ("l2", 2, 0.7), ("l1", math.inf, 0.6)])
def test_square_comes_near_the_optimum_of_a_linear_model_and_never_passes_it(norm, dual, share):
    w = torch.randn(36, generator=torch.Generator().manual_seed(0))
    model, x, eps = Linear(w, b=100.0), grey(8), 0.1  # nothing breaks: the search goes on to its end
    y = torch.ones(8, dtype=torch.long)
    found = run(Attack("square", Fraction(1, 10), norm, steps=600), model, x, y, Draws.of(0, range(8)))
    fall = ((x - found).flatten(1) @ w) / (eps * torch.linalg.vector_norm(w, ord=dual))
    assert fall.max() <= 1 + 1e-4
    assert fall.min() >= share


def small_network(channels, side, seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(8 * ((side - 1) // 2) ** 2, 10),
    )  # fmt: skip
    return net.eval()


@pytest.mark.parametrize(
    ("norm", "eps", "channels", "seed"),
    [("linf", 0.05, 1, 0), ("l2", 0.6, 1, 0), pytest.param("l1", 6.0, 3, 1, marks=pytest.mark.slow)],
)
def test_square_breaks_as_many_as_pyautoattack_with_the_same_queries(norm, eps, channels, seed):
    peer = pytest.importorskip("pyautoattack.square")
    model, count, queries = small_network(channels, 15, seed), 60, 100
    x = torch.rand(count, channels, 15, 15, generator=torch.Generator().manual_seed(2))
    y = model(x).argmax(1)
    attack = Attack("square", Fraction(eps).limit_denominator(1000), norm, steps=queries)
    ours, theirs = torch.zeros(count), torch.zeros(count)
    for draw in range(2):
        found = run(attack, model, x, y, Draws.of(draw, range(count)), torch.full((count,), eps))
        ours += (model(found).argmax(1) == y).float() / 2
        # its random start is a query on top
        other = peer.SquareAttack(
            model, norm=LIBRARY[norm], n_queries=queries - 1, eps=eps, seed=draw, resc_schedule=True, device="cpu"
        )
        theirs += (model(other.perturb(x.clone(), y)).argmax(1) == y).float() / 2
    worse = ours - theirs
    # one-sided, paired over the samples: a false alarm in 1 of 1000 if both are equally strong
    assert worse.mean() <= 3.1 * worse.std() / count**0.5
    assert 0.1 < ours.mean() < 0.9


class Staircase(nn.Module):
    """Pixels in 16 levels: the gradient is zero everywhere."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner((x * 16).round() / 16)


def test_square_breaks_what_hides_its_gradient_from_pgd():
    x = torch.rand(40, 1, 15, 15, generator=torch.Generator().manual_seed(3))
    model, eps = Staircase(small_network(1, 15)), Fraction(1, 10)
    y = model(x).argmax(1)
    survivors = {
        attack.kind: int((model(run(attack, model, x, y, Draws.of(0, range(40)))).argmax(1) == y).sum())
        for attack in (Attack("pgd", eps, steps=20), Attack("square", eps, steps=200))
    }
    assert survivors["pgd"] >= 35
    assert survivors["square"] <= 10


@pytest.mark.parametrize("norm", NORMS)
def test_square_gives_a_sample_the_same_alone_and_holds_each_radius(norm):
    class Curved(nn.Module):
        """Sums over one sample alone: convolutions round differently in another batch."""

        def forward(self, x):
            return torch.stack([(x * w).flatten(1).sum(1), (x * x * w.flip(0)).flatten(1).sum(1)], 1)

    model, w = Curved(), torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(0))
    x = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(4))
    y = model(x).argmax(1)
    scale = {"linf": 0.01, "l2": 0.1, "l1": 1.0}[norm]
    eps = torch.tensor([0.0, 1, 2, 3, 4, 5]) * scale
    attack = Attack("square", Fraction(1, 100), norm, steps=130)
    found = run(attack, model, x, y, Draws.of(5, range(6)), eps)
    check_budget(found, x, attack, eps)
    assert torch.equal(found[0], x[0])
    alone = run(attack, model, x[3:4], y[3:4], Draws.of(5, [3]), eps[3:4])
    assert torch.equal(found[3:4], alone)
    change = torch.linalg.vector_norm((found - x)[5].flatten(), ord={"linf": math.inf, "l2": 2, "l1": 1}[norm])
    assert change >= 0.8 * eps[5]


@pytest.mark.parametrize("kind", ["square", "uniform"])
def test_black_boxes_pay_for_no_sample_twice(kind):
    # w = 0: only b decides. Class 1 always: nothing breaks, and each query costs one pass of the batch
    model, x = Linear(torch.zeros(36), b=1.0), grey(5)
    attack = Attack(kind, Fraction(1, 10), steps=70, restarts=2)
    for labels, rows in ((torch.ones(5), [5] * 141), (torch.zeros(5), [5])):
        model.rows.clear()
        run(attack, model, x, labels.long(), Draws.of(0, range(5)))
        assert model.rows == rows
    # one pixel decides: those that are broken leave
    model = Linear(torch.eye(36)[7] * 10)
    x[:, 0, 1, 1] = torch.tensor([0.55, 0.51, 0.599, 0.45, 0.7])
    y = (x[:, 0, 1, 1] > 0.5).long()
    found = run(attack, model, x, y, Draws.of(0, range(5)))
    assert model.rows[0] == 5
    assert model.rows[-1] == 1
    assert (model(found).argmax(1) != y).tolist() == [True, True, True, True, False]


def test_square_goes_from_target_to_target():
    class Second(nn.Module):
        """Of the other classes, the likelier one stays where it is, and the other one climbs with the pixels."""

        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            climbs = x.flatten(1).sum(1)
            return torch.stack([climbs * 0 + 900, climbs * 0 + 500, climbs], 1)

    x, y, least = grey(4), torch.zeros(4, dtype=torch.long), {}
    for targets in (0, 1, 2, 9):
        model = Second()
        attack = Attack("square", Fraction(1, 10), steps=150, targets=targets)
        found = run(attack, model, x, y, Draws.of(0, range(4)))
        assert model.calls == 1 + 150 * min(max(targets, 1), 2)
        least[targets] = (found - x).flatten(1).sum(1).min()
    assert max(least[0], least[1]) < 0.5 * 3.6
    assert least[2] == least[9]
    assert least[2] > 0.8 * 3.6


def test_squares_reach_every_place_alike():
    x = torch.zeros(1, 1, 5, 7)
    numbers = torch.linspace(0, 1, 3001)[:-1, None].expand(-1, 2)
    corners = window(numbers, 3, x)
    for axis, places in ((0, 3), (1, 5)):
        counts = corners[:, axis].bincount()
        assert len(counts) == places
        assert counts.max() - counts.min() <= 1
    assert window(torch.tensor([[1 - 2**-24, 1 - 2**-24]]), 3, x).tolist() == [[2, 4]]


def test_no_query_of_linf_repeats_the_image_it_has():
    x, attack = grey(50), Attack("square", Fraction(1, 10), steps=100)
    search = Search(attack, x, torch.ones(50).long(), None, Draws.of(0, range(50)), radii(50, 0.1))
    now, numbers = search.start(), Draws.of(1, range(50)).uniform(100, 6)
    for query in range(1, 100):
        moved = search.move(now, numbers[:, query], query)
        assert ((moved != now).flatten(1).sum(1) > 0).all()
        now = moved


def test_squares_shrink_by_the_papers_schedule():
    # 0.8 of 100 x 100 pixels, halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000 of 10000 queries
    expected = {0: 89, 10: 89, 11: 63, 51: 45, 201: 32, 501: 22, 1001: 16, 2001: 11, 4001: 8, 6001: 6, 8001: 4}
    assert {query: side_at(query, 10_000, 100, 100, 1) for query in expected} == expected
    assert side_at(4001, 10_000, 100, 100, 3) == 9  # bumps are odd
    assert side_at(0, 100, 100, 20, 1) == 20
    assert side_at(99, 100, 6, 6, 1) == 1


@pytest.mark.parametrize("power", [2, 4])
@pytest.mark.parametrize("side", [1, 2, 3, 5, 8, 9])
def test_bumps_follow_equation_2(side, power):
    def hill(height, width):
        rows = [
            [
                sum(1 / (k + 1) ** power for k in range(max(height // 2, width // 2) + 1)
                    if max(abs(r - height // 2), abs(c - width // 2)) <= k)
                for c in range(width)
            ]
            for r in range(height)
        ]  # fmt: skip
        values = torch.tensor(rows).reshape(height, width)
        return values / (values.norm() if power == 2 else values.sum()) if height else values

    naive = torch.cat([hill(side // 2, side), -hill(side - side // 2, side)])
    naive = naive / (naive.norm() if power == 2 else naive.abs().sum())
    assert torch.allclose(bump(side, power), naive, atol=1e-6)


def within(value, expected, deviation, count):
    """Five standard errors: a false alarm in 1 of 1.7 million."""
    return abs(float(value) - expected) <= 5 * deviation / count**0.5


def test_noise_in_linf_has_its_distribution():
    x, size = torch.full((40, 1, 50, 50), 0.5), 40 * 2500
    uniform = uniform_change(x.shape[1:], "linf", Draws.of(0, range(40)))
    assert uniform.abs().max() <= 1
    assert within(uniform.mean(), 0, (1 / 3) ** 0.5, size)
    assert within(uniform.square().mean(), 1 / 3, (1 / 5 - 1 / 9) ** 0.5, size)
    gaussian = gaussian_change(x.shape[1:], "linf", Draws.of(0, range(40)))
    cut = 1 - math.erf(0.5**0.5)
    assert gaussian.abs().max() <= 1
    assert within((gaussian.abs() == 1).float().mean(), cut, (cut * (1 - cut)) ** 0.5, size)
    inner = math.erf(0.25 / 2**0.5)  # P(|z| < 1/4)
    assert within((gaussian.abs() < 0.25).float().mean(), inner, (inner * (1 - inner)) ** 0.5, size)


@pytest.mark.parametrize("kind", ["uniform", "gaussian"])
@pytest.mark.parametrize(("norm", "order"), [("l2", 2), ("l1", 1)])
def test_noise_reaches_the_sphere_evenly(kind, norm, order):
    count, pixels = 4000, 12
    drawn = {"uniform": uniform_change, "gaussian": gaussian_change}[kind]
    change = drawn(torch.Size((3, 2, 2)), norm, Draws.of(0, range(count))).flatten(1)
    assert torch.allclose(torch.linalg.vector_norm(change, ord=order, dim=1), torch.ones(count), atol=1e-5)
    assert within(change.mean(), 0, change.std(), change.numel())
    first = change[:, 0]
    # second moment of one coordinate: 1 / D on the L2 sphere, 2 / (D (D + 1)) on the L1 sphere
    expected = 1 / pixels if norm == "l2" else 2 / (pixels * (pixels + 1))
    same = within(first.square().mean(), expected, first.square().std(), count)
    assert same == (norm == "l2" or kind == "uniform")  # normal numbers lean away from the axes of the L1 sphere


def test_any_draw_of_noise_breaks_a_sample():
    # one pixel decides, and breaks if its change of at most 0.2 is below -0.15: once in 8 draws
    model, count = Linear(torch.eye(36)[7]), 2000
    x = torch.full((count, 1, 6, 6), 0.65)
    for steps in (1, 5):
        attack = Attack("uniform", Fraction(1, 5), steps=steps)
        found = run(attack, model, x, torch.ones(count).long(), Draws.of(0, range(count)))
        chance = 1 - (7 / 8) ** steps
        broken = (model(found).argmax(1) == 0).float().mean()
        assert within(broken, chance, (chance * (1 - chance)) ** 0.5, count)


@pytest.mark.parametrize("loss", ["ce", "margin"])
@pytest.mark.parametrize("kind", ["fgsm", "pgd", "mifgsm", "apgd", "square"])
def test_transfer_goes_on_where_the_surrogate_is_broken_or_wrong(kind, loss):
    w = torch.randn(36, generator=torch.Generator().manual_seed(0))
    surrogate, model = Linear(w), Linear(w, b=100.0)
    x = grey(10)
    y = (model(x).argmax(1)).clone()
    wrong = (surrogate(x).argmax(1) != y).sum()
    assert 0 < wrong < 10
    attack = Attack(kind, Fraction(1, 10), steps=400 if kind == "square" else 20, loss=loss)
    found = Transfer(attack, surrogate).run(model, x, y, Draws.of(0, range(10)))
    fall = ((x - found).flatten(1) @ w) / (0.1 * w.abs().sum())
    assert fall.min() > (0.9 if kind == "square" else 0.9999)


def test_transfer_needs_no_gradient_of_the_model_and_leaves_the_wrong_alone():
    inner = small_network(1, 15)
    model = Staircase(inner)
    x = torch.rand(40, 1, 15, 15, generator=torch.Generator().manual_seed(3))
    y = model(x).argmax(1)
    y[:5] = (y[:5] + 1) % 10
    transfer = Transfer(Attack("pgd", Fraction(1, 10), steps=10, restarts=2), inner, label="the network without stairs")
    found = transfer.run(model, x, y, Draws.of(0, range(40)))
    transfer.check(found, x)
    assert torch.equal(found[:5], x[:5])
    assert (model(found).argmax(1) == y).sum() <= 2  # of 35
    assert transfer.name == "transfer-pgd@25.5/255"
    assert not transfer.gradients
    plain = transfer.plain()
    assert (plain["kind"], plain["attack"], plain["surrogate"]) == ("transfer", "pgd", "the network without stairs")
    with pytest.raises(FeatmaskError, match="left its budget"):
        transfer.check(x + 0.2, x)


def test_transfer_shows_each_restart_to_the_model():
    w = torch.randn(36, generator=torch.Generator().manual_seed(0))
    model = Linear(w, b=100.0)
    attack = Attack("pgd", Fraction(1, 10), steps=2, restarts=3)
    Transfer(attack, Linear(w)).run(model, grey(4), torch.ones(4).long(), Draws.of(0, range(4)))
    assert model.rows == [4] * 4


def test_transfer_refuses_other_classes():
    attack = Attack("fgsm", Fraction(1, 10))
    with pytest.raises(FeatmaskError, match=r"expected logits \(4, 10\)"):
        Transfer(attack, Linear(torch.ones(225))).run(
            small_network(1, 15), *labelled(small_network(1, 15), 4), Draws.of(0, range(4))
        )


def labelled(model, count):
    x = torch.rand(count, 1, 15, 15)
    return x, model(x).argmax(1)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_the_held_surrogate_keeps_gradients_and_order(scale):
    inner, generator = nn.Linear(6, 5), torch.Generator().manual_seed(0)
    x = torch.randn(200, 6, generator=generator) * scale
    y = torch.randint(5, (200,), generator=generator)
    leaf = x.clone().requires_grad_()
    held, plain = Held(inner, y, 5)(leaf), inner(leaf)
    assert (held.argmax(1) == y).all()
    rows = torch.arange(200)
    others = torch.where(nn.functional.one_hot(y, 5).bool(), -torch.inf, 0)

    def margin(logits):
        return (logits + others).amax(1) - logits[rows, y]

    ours, own = (torch.autograd.grad(margin(z).sum(), leaf, retain_graph=True)[0] for z in (held, plain))
    assert torch.allclose(ours, own)
    far = margin(plain.detach()) < -1
    assert far.any()
    assert not far.all()
    assert torch.allclose(margin(held)[far], margin(plain)[far])
    order = margin(plain.detach()).argsort()
    assert (margin(held.detach())[order].diff() >= 0).all()
    if scale == 1:

        def odds(logits):
            return (logits + others).logsumexp(1) - logits[rows, y]

        ours, own = (torch.autograd.grad(odds(z).sum(), leaf, retain_graph=True)[0] for z in (held, plain))
        assert torch.allclose(ours, own, atol=1e-6)
