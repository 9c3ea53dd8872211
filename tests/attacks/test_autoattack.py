"""AutoAttack against pyautoattack itself on sound ground, and its known faults kept out everywhere else."""

from __future__ import annotations

import json
import logging
import random
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from featmask.attacks import AutoAttack, Draws, autoattack
from featmask.attacks.autoattack_library import square_fits
from featmask.errors import FeatmaskError

library = pytest.importorskip("pyautoattack")
LIBRARY = {"linf": "Linf", "l2": "L2", "l1": "L1"}


def network(classes, side=10, seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * ((side - 1) // 2) ** 2, classes)
    ).eval()
    x = torch.rand(16, 1, side, side)
    return net, x, net(x).argmax(1)


def survivors(model, found, y):
    return (model(found).argmax(1) == y).tolist()


def peer(model, x, y, eps, norm, version="standard"):
    """The library as it is, with the same seed."""
    attack = library.AutoAttack(
        model, eps=float(eps), norm=LIBRARY[norm], version=version,
        seed=int(float(Draws.of(0, range(len(x))).uniform(1)[0, 0]) * 2**24),
    )  # fmt: skip
    tracer = sys.gettrace()
    found = attack.run_standard_evaluation(x, y, batch_size=len(x))[0]
    sys.settrace(tracer)
    return found


BUDGETS = [("linf", Fraction(1, 40)), ("l2", Fraction(1, 4)), ("l1", Fraction(1))]


@pytest.mark.parametrize(("norm", "eps"), BUDGETS)
def test_ten_classes_give_what_the_library_gives(short, norm, eps):
    model, x, y = network(10)
    attack = AutoAttack(eps, norm)
    assert attack.deviations(10, (10, 10)) == ()
    found = attack.run(model, x, y, Draws.of(0, range(16)))
    expected = peer(model, x, y, eps, norm)
    attack.check(found, x)
    assert survivors(model, found, y) == survivors(model, expected, y)
    assert torch.allclose(found, expected, atol=1e-5)
    assert 0 < sum(survivors(model, found, y)) < 16


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "eps"), BUDGETS)
def test_ten_classes_give_what_the_library_gives_at_full_length(norm, eps):
    model, x, y = network(10)
    found = AutoAttack(eps, norm).run(model, x, y, Draws.of(0, range(16)))
    assert survivors(model, found, y) == survivors(model, peer(model, x, y, eps, norm), y)


def test_rand_gives_what_the_library_gives_on_a_model_that_is_not_random(short):
    model, x, y = network(10)
    attack = AutoAttack(Fraction(1, 40), version="rand")
    assert attack.deviations(10) == ("non-standard: verdicts from the mean logits of 20 passes, not from one",)
    found = attack.run(model, x, y, Draws.of(0, range(16)))
    assert survivors(model, found, y) == survivors(model, peer(model, x, y, Fraction(1, 40), "linf", "rand"), y)


@pytest.mark.parametrize("version", ["standard", "rand"])
@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_few_classes_work_and_are_told(short, classes, version):
    model, x, y = network(classes)
    attack = AutoAttack(Fraction(1, 8), version=version)
    found = attack.run(model, x, y, Draws.of(0, range(16)))
    attack.check(found, x)
    alive = survivors(model, found, y)
    # a linear bound from one gradient step: what FGSM breaks does not survive
    leaf = x.clone().requires_grad_()
    logits = model(leaf)
    nn.functional.cross_entropy(logits, y, reduction="sum").backward()
    step = (x + leaf.grad.sign() / 8).clamp(0, 1)
    assert not any(one and not other for one, other in zip(alive, survivors(model, step, y), strict=True))
    assert sum(alive) < 16
    assert torch.equal(found[alive], x[alive])
    told = attack.deviations(classes)
    assert told
    assert all(note.startswith("non-standard: ") for note in told)
    assert ("margin in place of" in " ".join(told)) == (classes < (4 if version == "standard" else 3))
    if version == "standard":
        assert f"every other class as a target ({classes - 1})" in " ".join(told)


def test_what_is_told_depends_on_the_targets_of_each_norm():
    standard = AutoAttack(Fraction(1, 40), "l2").deviations(6)
    assert standard == ("non-standard: every other class as a target (5) in place of 9 in apgd-t, 9 in fab-t",)
    assert AutoAttack(Fraction(1), "l1").deviations(6) == (
        "non-standard: every other class as a target (5) in place of 9 in fab-t",
    )
    assert AutoAttack(Fraction(1), "l1").deviations(100) == ()


def test_one_class_is_refused():
    with pytest.raises(FeatmaskError, match="2 classes or more, got 1"):
        AutoAttack(Fraction(1, 40)).run(
            lambda x: x.flatten(1)[:, :1], torch.rand(2, 1, 8, 8), torch.zeros(2).long(), Draws.of(0, range(2))
        )


@pytest.mark.parametrize(("norm", "size"), [("l2", (12, 12)), ("l2", (4, 4)), ("l1", (18, 15))])
def test_images_that_break_the_librarys_square_take_ours(short, norm, size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(size[0] * size[1], 10)).eval()
    x = torch.rand(8, 1, *size)
    y = model(x).argmax(1)
    attack = AutoAttack(Fraction(1, 100), norm)
    assert not square_fits(*size)
    found = attack.run(model, x, y, Draws.of(0, range(8)))
    assert any(survivors(model, found, y))  # else nothing comes to Square
    assert "Square of this package" in " ".join(attack.deviations(10, size))
    with pytest.raises((RuntimeError, ZeroDivisionError)):
        peer(model, x, y, Fraction(1, 100), norm)


def test_the_sizes_of_images_that_the_librarys_square_takes():
    from pyautoattack.square import SquareAttack

    def works(height, width):
        attack = SquareAttack(
            lambda x: x.flatten(1).sum(1, keepdim=True) * 0 + torch.tensor([1.0, 0.0]),
            norm="L2", n_queries=1, eps=0.1, seed=0, device="cpu",
        )  # fmt: skip
        try:
            attack.perturb(torch.rand(1, 1, height, width), torch.zeros(1).long())
        except (RuntimeError, ZeroDivisionError):
            return False
        return True

    for height, width in (
        (4, 9),
        (5, 5),
        (10, 10),
        (12, 12),
        (15, 15),
        (28, 28),
        (32, 32),
        (28, 25),
        (20, 28),
        (19, 19),
    ):
        assert works(height, width) == square_fits(height, width)


def test_nothing_global_is_left_behind(short, capfd):
    model, x, y = network(10)
    called = []

    def tracer(frame, event, argument):
        called.append(event)

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    states = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
    log, before = logging.getLogger("auto-attack"), sys.gettrace()
    x = x.contiguous(memory_format=torch.channels_last)
    kept, labels = x.clone(), y.clone()
    sys.settrace(tracer)
    try:
        AutoAttack(Fraction(1, 40)).run(model, x, y, Draws.of(0, range(16)))
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert not log.disabled
    assert not log.handlers
    assert capfd.readouterr() == ("", "")
    assert torch.equal(x, kept)
    assert torch.equal(y, labels)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_global_states_come_back_from_a_model_that_fails(short):
    def tracer(frame, event, argument):
        return None

    calls = []

    def model(x):
        calls.append(1)
        if len(calls) > 12:
            raise RuntimeError("out of memory")
        return torch.stack([x.flatten(1).sum(1), 30 - x.flatten(1).sum(1)], 1)

    x = torch.rand(4, 1, 8, 8)
    state, before = torch.get_rng_state(), sys.gettrace()
    sys.settrace(tracer)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            AutoAttack(Fraction(1, 40)).run(model, x, torch.zeros(4).long(), Draws.of(0, range(4)))
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
    assert torch.equal(torch.get_rng_state(), state)
    assert not logging.getLogger("auto-attack").disabled


def test_the_same_draws_repeat_and_others_differ(short):
    model, x, y = network(10)
    attack = AutoAttack(Fraction(1, 40))
    one, again, other = (attack.run(model, x, y, Draws.of(seed, range(16))) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_wrong_ones_and_survivors_come_back_as_they_were(short):
    model, x, y = network(10)
    y[:4] = (y[:4] + 1) % 10
    found = AutoAttack(Fraction(1, 40)).run(model, x, y, Draws.of(0, range(16)))
    alive = torch.tensor(survivors(model, found, y))
    assert alive.any()
    assert torch.equal(found[:4], x[:4])
    assert torch.equal(found[alive], x[alive])
    assert not torch.equal(found[4:], x[4:])
    one = AutoAttack(Fraction(1, 40)).run(model, x[alive][:1], y[alive][:1], Draws.of(0, [0]))
    assert one.shape == (1, 1, 10, 10)
    rows = []

    def counting(x):
        rows.append(len(x))
        return model(x)

    AutoAttack(Fraction(1, 40)).run(counting, x[:4], y[:4], Draws.of(0, range(4)))
    assert len(rows) <= 6  # looked at, not attacked
    assert torch.equal(AutoAttack(Fraction(0)).run(model, x, y, Draws.of(0, range(16))), x)
    assert AutoAttack(Fraction(1, 40)).run(model, x[:0], y[:0], Draws([])).shape == (0, 1, 10, 10)


def test_examples_are_brought_back_into_the_ball_and_judged_afresh(monkeypatch):
    def model(x):
        score = x[:, 0, 0, 0] - 0.5
        return nn.functional.pad(torch.stack([-score, score], 1), (0, 8), value=-9)

    x = torch.full((5, 1, 10, 10), 0.7)
    x[:, 0, 0, 0] = torch.tensor([0.52, 0.52, 0.6, 0.6, 0.52])
    tried = x.clone()
    tried[:, 0, 0, 0] = torch.tensor([0.48, 0.2, 0.2, 0.58, 0.2])
    tried[4] = torch.nan
    monkeypatch.setattr(autoattack, "ensemble_examples", lambda *args, **kwargs: tried)
    attack = AutoAttack(Fraction(1, 20))
    found = attack.run(model, x, torch.ones(5).long(), Draws.of(0, range(5)))
    attack.check(found, x)
    # found; found too far off, and still one within; only beyond; not at all; not a number
    assert found[:, 0, 0, 0].tolist() == pytest.approx([0.48, 0.47, 0.6, 0.6, 0.52])
    assert torch.equal(found[2:], x[2:])


def test_a_model_without_gradient_is_still_asked_by_square(short):
    model, x, y = network(10)

    def hidden(x):
        with torch.no_grad():
            return model((x * 16).round() / 16)

    y = hidden(x).argmax(1)
    with torch.inference_mode():
        found = AutoAttack(Fraction(1, 10)).run(hidden, x, y, Draws.of(0, range(16)))
    assert sum(survivors(hidden, found, y)) < 8


def test_the_librarys_log_is_silent(short, caplog):
    model, x, y = network(10)
    caplog.set_level(logging.DEBUG)
    # probabilities and dead units: it warns of both
    AutoAttack(Fraction(1, 40)).run(lambda x: model(x).softmax(1), x, y, Draws.of(0, range(16)))
    assert not caplog.records
    peer(lambda x: model(x).softmax(1), x, y, Fraction(1, 40), "linf")
    assert any(record.levelname == "WARNING" for record in caplog.records)


@pytest.mark.parametrize("version", ["standard", "rand"])
def test_logits_are_the_models_own(short, version):
    """A model that hands out a tensor it keeps: the library's Square writes into what it gets."""
    table = torch.tensor([[3.0, 1.0, 0.0, -1.0]])
    x = torch.rand(1, 1, 10, 10)
    AutoAttack(Fraction(1, 40), version=version).run(lambda x: table, x, torch.zeros(1).long(), Draws.of(0, [0]))
    assert table.tolist() == [[3.0, 1.0, 0.0, -1.0]]


class Noisy(nn.Module):
    def __init__(self, inner, size):
        super().__init__()
        self.inner, self.size = inner, size

    def forward(self, x):
        logits = self.inner(x)
        return logits + self.size * torch.randn_like(logits)


def test_random_models_are_refused_by_standard_and_attacked_by_rand(short):
    model, x, _ = network(4)
    with torch.no_grad():
        model[3].weight.mul_(20)
    y = model(x).argmax(1)
    noisy = Noisy(model, 1.5)
    with pytest.raises(FeatmaskError, match="version='rand'"):
        AutoAttack(Fraction(1, 4)).run(noisy, x, y, Draws.of(0, range(16)))
    state = torch.get_rng_state()
    attack = AutoAttack(Fraction(1, 4), version="rand")
    found = attack.run(noisy, x, y, Draws.of(0, range(16)))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found, attack.run(noisy, x, y, Draws.of(0, range(16))))
    # without its noise the model is fooled too: none was counted, nor left alone, for one lucky pass. Close to the
    # boundary (the mean of 20 passes deviates by 0.5 in the margin) the clean image itself may count as wrong
    top = model(x).topk(2).values
    clear = top[:, 0] - top[:, 1] > 1.5
    assert clear.sum() >= 8
    assert not any(survivors(model, found[clear], y[clear]))
    assert (noisy(x).argmax(1) != y).any()


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.full((2, 1, 8, 8), 1.5), r"pixels in \[0, 1\], got 1.5 to 1.5"),
        (torch.full((2, 1, 8, 8), -1.0), r"pixels in \[0, 1\]"),
        (torch.full((2, 1, 8, 8), torch.nan), r"pixels in \[0, 1\]"),
        (torch.zeros(2, 1, 8, 8).double(), "expected float32"),
        (torch.zeros(2, 64), r"\(N, C, H, W\)"),
    ],
)
def test_pixels_that_the_library_would_take_are_refused(pixels, message):
    with pytest.raises(FeatmaskError, match=message):
        AutoAttack(Fraction(1, 40)).run(lambda x: x.flatten(1), pixels, torch.zeros(2).long(), Draws.of(0, range(2)))


def test_names_records_and_mistakes():
    names = [AutoAttack(Fraction(8, 255)).name, AutoAttack(Fraction(1, 2), "l2", "rand").name]
    assert names == ["autoattack@8/255", "autoattack-rand-l2@0.5"]
    plain = json.loads(json.dumps(AutoAttack(Fraction(8, 255)).plain()))
    assert (plain["eps"], plain["version"], plain["kind"]) == ("8/255", "standard", "autoattack")
    assert plain["library"].startswith("pyautoattack 0.")
    assert AutoAttack(Fraction(1, 9)).gradients
    for wrong in ({"version": "plus"}, {"norm": "l0"}, {"eps": Fraction(2)}):
        with pytest.raises(FeatmaskError, match=next(iter(wrong))):
            AutoAttack(**{"eps": Fraction(1, 40), **wrong})
