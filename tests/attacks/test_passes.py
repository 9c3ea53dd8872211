"""What an attack pays for: who leaves the batch, random models, gradients that are no numbers, the memory format."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn

from featmask.attacks import Attack, Draws, Stream, run

NORMS = ("linf", "l2", "l1")
KINDS = ("fgsm", "pgd", "mifgsm", "apgd")


class Counting(nn.Module):
    """Counts the images that pass through it, and those that a gradient is asked for."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.passed, self.climbed = inner, [], []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (self.climbed if x.requires_grad else self.passed).append(len(x))
        return self.inner(x)


def network(classes: int = 5, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return (
        nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(128, classes)
        )
        .eval()
        .to(dtype)
    )


@pytest.fixture
def images():
    x = torch.rand(60, 1, 12, 12)
    return x, network()(x).argmax(1)


def test_passes_of_samples_that_nothing_breaks(images):
    x, y = images
    tiny = Fraction(1, 10**6)
    for kind, passed, climbed in (
        ("fgsm", [], [60]),
        ("mifgsm", [], [60] * 5),
        ("pgd", [60], [60] * 5),  # who is wrong before the attack is not attacked
        ("apgd", [60, 60], [60] * 5),  # the last image's objective must be known, its gradient need not
    ):
        model = Counting(network())
        run(Attack(kind, tiny, steps=5), model, x, y, Draws.of(0, range(60)))
        assert (model.passed, model.climbed) == (passed, climbed), kind
    model = Counting(network())
    run(Attack("pgd", tiny, steps=5, restarts=2, targets=3), model, x, y, Draws.of(0, range(60)))
    assert (len(model.passed), len(model.climbed)) == (1 + 5, 2 * 3 * 5)  # the last image of the last start is not seen


@pytest.mark.parametrize("kind", ["pgd", "apgd"])
def test_those_wrong_before_cost_one_pass_and_come_back_as_they_are(images, kind):
    x, y = images
    y = y.clone()
    y[::3] = (y[::3] + 1) % 5
    model = Counting(network())
    found = run(Attack(kind, Fraction(1, 10**6), steps=5), model, x, y, Draws.of(0, range(60)))
    assert torch.equal(found[::3], x[::3])
    assert model.passed[0] == 60
    assert set(model.passed[1:] + model.climbed) == {40}
    model = Counting(network())
    run(Attack("mifgsm", Fraction(1, 10**6), steps=5, targets=0), model, x, y, Draws.of(0, range(60)))
    assert model.climbed == [60, 40, 40, 40, 40]


@pytest.mark.parametrize("kind", ["pgd", "mifgsm", "apgd"])
@pytest.mark.parametrize("norm", NORMS)
def test_broken_samples_leave_at_once(images, kind, norm):
    """The samples in each pass are exactly those that no image seen before had broken."""
    x, y = images
    seen: list[torch.Tensor] = []
    inner = network()

    def model(pixels):
        logits = inner(pixels)
        if pixels.requires_grad:
            seen.append(logits.detach().argmax(1))
        return logits

    eps = {"linf": Fraction(3, 100), "l2": Fraction(3, 10), "l1": Fraction(2)}[norm]
    found = run(Attack(kind, eps, norm, steps=12), model, x, y, Draws.of(0, range(60)))
    standing = y
    for predicted in seen:
        assert len(predicted) == len(standing)
        standing = standing[predicted == standing]
    assert 0 < len(standing) < 45  # else this test shows little
    assert int((inner(found).argmax(1) != y).sum()) >= 60 - len(standing)


def test_attacks_repeat_from_their_draws_and_differ_without(images):
    x, y = images
    attack = Attack("pgd", Fraction(1, 100), steps=2)
    model = network()
    first, second, other = (
        run(attack, model, x, y, Stream(60, torch.Generator().manual_seed(seed))) for seed in (3, 3, 4)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_that_are_no_numbers_never_spread(kind, norm, bad):
    class Poisoned(nn.Module):
        """Its gradient at the first pixel of samples whose first pixel is below 0.5 is not a number."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.requires_grad:
                low = x.detach()[:, :1, :1, :1] < 0.5
                x.register_hook(lambda g: torch.where(low & (torch.arange(144).view(1, 1, 12, 12) == 0), bad, g))
            return self.inner(x)

    x = torch.rand(30, 1, 12, 12)
    x[:15, 0, 0, 0], x[15:, 0, 0, 0] = 0.1, 0.9
    model, plain = Poisoned(), network()
    y = plain(x).argmax(1)
    eps = {"linf": Fraction(1, 100), "l2": Fraction(1, 10), "l1": Fraction(1, 2)}[norm]
    attack = Attack(kind, eps, norm, steps=5)
    found, expected = (run(attack, m, x, y, Draws.of(0, range(30))) for m in (model, plain))
    assert found.isfinite().all()
    attack.check(found, x)
    assert torch.equal(found[15:], expected[15:])
    assert ((found[:15] - x[:15]).abs().flatten(1).sum(1) > 0).all()  # the other pixels still move


def test_an_objective_that_is_no_number_is_never_the_best():
    """Infinity for two classes at the first look makes the margin inf - inf: what is found later must replace it."""
    inner, looks = network(), []

    def model(x):
        looks.append(x.requires_grad)
        logits = inner(x)
        return torch.where((torch.arange(5) < 2) & (sum(looks) == 1) & x.requires_grad, torch.inf, logits)

    x = torch.rand(60, 1, 12, 12)
    x = x[inner(x).argmax(1) == 0]
    y = torch.zeros(len(x), dtype=torch.long)
    assert len(x) > 3
    attack = Attack("apgd", Fraction(1, 1000), steps=5, loss="margin")
    found = run(attack, model, x, y, Draws.of(0, range(len(x))))
    expected = run(attack, inner, x, y, Draws.of(0, range(len(x))))
    gaps = [logits[:, 1:].amax(1) - logits[:, 0] for logits in (inner(found), inner(expected), inner(x))]
    assert (gaps[0] > gaps[2] + 0.5 * (gaps[1] - gaps[2])).all()


class Masked(nn.Module):
    """A random model: half of the pixels are left out, anew in each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network(3)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 20 * self.inner(2 * x * (torch.rand(x.shape, generator=self.generator) < 0.5))


@pytest.mark.parametrize("kind", ["pgd", "apgd"])
def test_averaging_over_passes_breaks_random_models_more_often(kind):
    """Wrong answers over 200 fresh passes a sample: a lucky pass ends the attack with one look, not with sixteen."""
    model = Masked()
    x = torch.rand(60, 1, 12, 12)

    def often(x):
        return torch.stack([model(x).argmax(1) for _ in range(200)])

    y = often(x).mode(0).values
    wrong = [
        float((often(run(Attack(kind, Fraction(30, 100), steps=10, eot=eot), model, x, y, Draws.of(0, range(60)))) != y)
              .double().mean())
        for eot in (1, 16)
    ]  # fmt: skip
    assert wrong[1] > wrong[0] + 0.05


@pytest.mark.parametrize(("leans", "broken"), [((2, 2, 2, -1), False), ((-1, -1, 20, -1), True)])
def test_with_several_passes_their_mean_probability_decides(leans, broken):
    """One lucky pass of four breaks nothing; one sure pass of four does not make up for three wrong ones."""
    passes = iter(range(10**6))

    def model(x):
        none = 0 * x.sum((1, 2, 3))
        return torch.stack([leans[next(passes) % 4] + none, none], 1)

    x, y = torch.rand(6, 1, 4, 4), torch.zeros(6, dtype=torch.long)
    counted = Counting(nn.Identity())
    counted.inner.forward = model
    run(Attack("mifgsm", Fraction(1, 100), steps=3, eot=4), counted, x, y, Draws.of(0, range(6)))
    assert counted.climbed == [6] * (4 if broken else 12)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_model_sees_the_memory_format_of_the_images(kind, norm, order):
    formats = []
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 4))
    inner = inner.to(memory_format=order)

    def model(x):
        formats.append(x.is_contiguous(memory_format=order))
        return inner(x)

    x = torch.rand(40, 3, 8, 8).contiguous(memory_format=order)
    y = inner(x).argmax(1)
    eps = {"linf": Fraction(3, 100), "l2": Fraction(3, 10), "l1": Fraction(2)}[norm]
    found = run(Attack(kind, eps, norm, steps=6, targets=2), model, x, y, Draws.of(0, range(40)))
    assert found.is_contiguous(memory_format=order)
    assert all(formats)
