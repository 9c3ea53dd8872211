"""The doctor's figures against closed forms and other libraries, its bounds, its record."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.stats import binom
from sklearn.metrics import cohen_kappa_score
from torch import nn
from torch.utils.data import TensorDataset

from featmask.attacks import Attack
from featmask.classification.suites import Options, evaluate
from featmask.classification.suites.plans import Plan
from featmask.doctor import Check, Diagnosis, chance, curve_checks, examine, gradient_checks, rival_checks, setup_checks
from featmask.doctor.subject import Subject
from featmask.doctor.white_box import WhiteBox
from featmask.errors import FeatmaskError
from featmask.records.doctor import DOCTOR


class Linear(nn.Module):
    """Two classes whose log-odds are w x + b."""

    def __init__(self, weight: torch.Tensor, bias: float = 0.0) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = (x * self.weight).flatten(1).sum(1) + self.bias
        return torch.stack([torch.zeros_like(z), z], 1)


def subject(logits: torch.Tensor, y: torch.Tensor, model: nn.Module | None = None) -> Subject:
    x = torch.rand(len(y), 1, 4, 4)
    return Subject(model or nn.Identity(), x, y, list(range(len(y))), logits, Fraction(8, 255), "linf")


@pytest.mark.parametrize("n", [1, 16, 128, 1000])
@pytest.mark.parametrize("share", [Fraction(0), Fraction(1, 128), Fraction(1, 16), Fraction(1, 2), Fraction(1)])
def test_tails_are_sums_of_binomial_terms(n, share):
    """In exact fractions, term by term."""
    terms = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    for count in {0, 1, n // 20, n // 2, n}:
        assert chance.at_least(count, n, float(share)) == pytest.approx(float(sum(terms[count:])), rel=1e-9, abs=1e-300)
        assert chance.at_most(count, n, float(share)) == pytest.approx(
            float(sum(terms[: count + 1])), rel=1e-9, abs=1e-300
        )
        half = Fraction(sum(math.comb(n, k) for k in range(count, n + 1)), 2**n)
        assert chance.outweighs(count, n - count) == (half <= chance.ALPHA)


@pytest.mark.parametrize("share", [chance.MISSED, chance.LOSSES, chance.UNFINISHED, chance.FLAT, chance.SURVIVES])
def test_a_share_at_the_allowed_edge_is_flagged_as_rarely_as_is_said(share):
    for n in (32, 128, 500):
        flagged = sum(binom.pmf(count, n, share) for count in range(n + 1) if chance.beyond(count, n, share))
        assert flagged <= chance.ALPHA
        # and no more lenient than that: four times the share is found at least half the time in 128 samples
        if n >= 128 and share >= 0.02:
            assert sum(binom.pmf(k, n, 4 * share) for k in range(n + 1) if chance.beyond(k, n, share)) > 0.5


def test_slopes_of_a_linear_model_are_its_weights():
    weight = torch.randn(1, 4, 4, dtype=torch.float64)
    x, y = torch.rand(5, 1, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 1])
    slopes = gradient_checks.slopes_of(Linear(weight), x, y, 1e-6, 0)
    # the log-odds of the other class rise with w for class 0 and fall for class 1: along the gradient always by |w|
    assert torch.allclose(slopes.autograd[:, 0], weight.norm().expand(5), rtol=1e-12)
    assert torch.allclose(slopes.measured, slopes.autograd, rtol=1e-6, atol=1e-8)
    assert slopes.autograd.shape == (5, 1 + gradient_checks.DIRECTIONS)


def test_float32_within_a_model_is_no_fault():
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 3))

        def forward(self, x):
            return self.net.float()(x.float()).to(x.dtype)

    model, y = Single(), torch.arange(40) % 3
    whole = subject(torch.zeros(40, 3), y, model)
    found = gradient_checks.gradients(model, whole.x, y)
    assert gradient_checks.difference_check(whole, found).verdict == "ok"
    assert not gradient_checks.difference_check(whole, found).values["wrong"]
    # a model that refuses float64 is compared in float32
    model.forward = lambda x: model.net(x) if x.dtype == torch.float32 else model.nothing
    assert not gradient_checks.difference_check(whole, found).values["float64"]
    assert gradient_checks.difference_check(whole, found).verdict == "ok"
    assert gradient_checks.difference_check(whole, -found).verdict == "ok"  # it computes its own


def test_flat_backgrounds_are_no_fault_of_a_gradient():
    model = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 3))
    x, y = torch.zeros(16, 1, 8, 8), torch.arange(16) % 3
    x[:, :, 3:5, 3:5] = torch.rand(16, 1, 2, 2)
    flat = Subject(model, x, y, list(range(16)), torch.zeros(16, 3), Fraction(8, 255), "linf")
    found = gradient_checks.gradients(model, x, y)
    assert gradient_checks.difference_check(flat, found).verdict == "ok"
    # at the images themselves max-pooling has ties, and slopes differ to both sides
    slopes = gradient_checks.slopes_of(model.double(), x.double(), y, 1e-6, 0)
    assert not torch.allclose(slopes.autograd, slopes.measured, rtol=0.05)


def test_chance_is_the_one_of_cohens_kappa():
    y, predicted = torch.randint(4, (200,)), torch.randint(4, (200,))
    predicted[:80] = y[:80]
    check = setup_checks.accuracy_check(subject(nn.functional.one_hot(predicted, 4).float(), y))
    right, expected = check.values["right"] / 200, check.values["chance"]
    assert (right - expected) / (1 - expected) == pytest.approx(cohen_kappa_score(y, predicted))
    assert check.verdict == "ok"


@pytest.mark.parametrize(
    ("y", "predicted", "verdict", "words"),
    [
        ([0] * 90 + [1] * 10, [0] * 100, "failed", "accuracy 90.0 % of 100, chance 90.0 %"),
        ([0, 1] * 50, [1, 0] * 50, "failed", "(below chance); 100.0 % of 100 if classes were named in another order"),
        ([0] * 90 + [1] * 10, [0] * 90 + [1] * 10, "ok", "accuracy 100.0 %"),
        # six samples show nothing at this level
        ([0, 1] * 3, [0, 1] * 3, "failed", "accuracy 100.0 % of 6, chance 50.0 % (above chance, but so few"),
    ],
)
def test_accuracy_is_asked_against_chance(y, predicted, verdict, words):
    logits = nn.functional.one_hot(torch.tensor(predicted), 2).float()
    check = setup_checks.accuracy_check(subject(logits, torch.tensor(y)))
    assert check.verdict == verdict
    assert words in check.figure


@pytest.mark.parametrize(
    ("gap", "certain", "flat", "verdict"),
    [
        (10, 0, 0, "ok"),
        (15, 0, 0, "ok"),
        (20, 100, 0, "suspicious"),
        (90, 100, 0, "suspicious"),
        (120, 100, 100, "failed"),
    ],
)
def test_saturation_begins_where_float32_ends(gap, certain, flat, verdict):
    logits = torch.zeros(100, 3)
    logits[:, 1] = gap
    check = setup_checks.saturation_check(subject(logits, torch.ones(100, dtype=torch.long)))
    assert (check.values["certain"], check.values["flat"], check.verdict) == (certain, flat, verdict)
    # the same by NumPy: log(1 + 2 e^-gap), and a softmax whose others are 0
    assert (np.float32(1) + 2 * np.exp(np.float32(-gap)) == 1) == (certain > 0)
    assert (np.exp(np.float32(-gap)) == 0) == (flat > 0)


def test_a_constant_that_swallows_the_margin_is_saturation_too():
    logits = torch.randn(100, 3) * 5
    y = logits.argmax(1)
    assert setup_checks.saturation_check(subject(logits, y)).verdict == "ok"
    assert setup_checks.saturation_check(subject(logits + 1e6, y)).verdict == "failed"


@pytest.mark.parametrize(
    ("pixels", "verdict"),
    [((0, 1), "ok"), ((0.2, 0.7), "ok"), ((-0.01, 1), "failed"), ((0, 255), "failed"), ((0, 1 / 255), "suspicious")],
)
def test_pixels_have_a_range(pixels, verdict):
    low, high = pixels
    x = torch.linspace(low, high, 64).view(4, 1, 4, 4)
    check = setup_checks.pixel_check(x)
    assert check.verdict == verdict
    assert check.values["share_outside"] == pytest.approx(((x < 0) | (x > 1)).double().mean().item())
    x[0, 0, 0, 0] = torch.nan
    assert setup_checks.pixel_check(x).verdict == "failed"
    json.dumps(asdict(setup_checks.pixel_check(x)), allow_nan=False)


def test_sigmoids_are_suspicious():
    assert setup_checks.logit_check(torch.rand(50, 4)).verdict == "suspicious"
    assert setup_checks.logit_check(torch.randn(50, 4).softmax(1)).verdict == "failed"
    assert setup_checks.logit_check(torch.randn(50, 4).log_softmax(1)).verdict == "ok"


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_large_ball_holds_grey_and_no_smaller_one_does(norm):
    x = torch.randint(2, (3, 3, 5, 5)).double()  # as far from grey as can be
    order = {"linf": torch.inf, "l2": 2, "l1": 1}[norm]
    far = torch.linalg.vector_norm((x - 0.5).flatten(1), ord=order, dim=1)
    of = Subject(nn.Identity(), x, torch.zeros(3), [0, 1, 2], torch.zeros(3, 2), Fraction(1, 9), norm)
    assert float(curve_checks.grey_radius(of)) == pytest.approx(far.max().item(), abs=1e-3)


class Made(WhiteBox):
    """Outcomes as a test wants them: right after each attack, of 100 samples that all were right."""

    def __init__(self, **left: int) -> None:
        self.subject = subject(torch.zeros(100, 4), torch.zeros(100, dtype=torch.long))
        self.steps, self.follows, self.made = 20, True, left
        self.subject.after = self.after

    def mask(self, count: int) -> torch.Tensor:
        return torch.arange(100) < count

    def after(self, attack, among=None, again=0):
        if attack is None:
            return self.mask(100)
        left = self.mask(self.made.get(attack.kind, 0))
        return left if among is None else left & among

    def after_pgd(self, steps=None, eps=None):
        if steps == 50:
            return self.mask(self.made["pgd50"])
        return self.mask(self.made.get(f"eps{float(eps * 255):g}", 0) if eps else self.made["pgd"])

    def after_fgsm(self):
        return self.mask(self.made["fgsm"])

    def after_starts(self):
        return self.mask(self.made["starts"])

    def after_losses(self):
        return {"a": self.mask(self.made["pgd"]), "b": self.mask(self.made["loss"])}

    def left(self):
        return self.mask(self.made["pgd"])


def test_attacks_are_made_on_those_that_are_asked_for(linear):
    model, data = linear
    x, y = data.tensors
    whole = Subject(model, x, y, list(range(len(y))), model(x).detach(), Fraction(1, 2), "linf")
    some = torch.arange(len(y)) < 30
    after = whole.after(whole.attack(kind="fgsm"), among=some)
    assert not after[:30].any()
    assert after[30:].all()
    # made once: the second answer is the first one
    assert whole.after(whole.attack(kind="fgsm"), among=some) is after
    assert not whole.after(whole.attack(kind="fgsm")).any()


class Turns(nn.Module):
    """Right in as many of five passes in a row as the first pixel says in fifths; surer in the minority of them."""

    turn = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        often = (x[:, 0, 0, 0] * 5).round().detach()
        right = self.turn < often
        sure = torch.where(right == (often < 3), 4.0, 0.3) * torch.where(right, 1, -1)
        self.turn = (self.turn + 1) % 5
        score = sure + 0.01 * x.flatten(1).mean(1)
        return torch.stack([-score / 2, score / 2], 1)


def test_a_random_models_answer_is_the_same_for_the_doctor_and_for_a_record():
    often = torch.tensor([0, 1, 2, 3, 4, 5] * 2)
    x = torch.rand(12, 1, 3, 3)
    x[:, 0, 0, 0] = often / 5
    y, fgsm = torch.ones(12, dtype=torch.long), Attack("fgsm", Fraction(1, 255), eot=5)
    options = Options(passes=5, eot=5)
    record = evaluate(Turns(), TensorDataset(x, y), Plan("own", (fgsm,)), options=options, allow_stochastic=True)
    assert record.samples["clean"].tolist() == (often.double() / 5).tolist()
    whole = Subject(Turns(), x, y, list(range(12)), torch.zeros(12, 2), Fraction(1, 255), "linf", passes=5)
    assert torch.equal(whole.right, torch.from_numpy(record.samples["clean"]) > 0.5)
    assert torch.equal(whole.after(fgsm), torch.from_numpy(record.samples[fgsm.name]) > 0.5)
    # the mean of the probabilities would take another side
    mean = torch.stack([whole.model(x).softmax(1)[:, 1] for _ in range(5)]).mean(0)
    assert ((mean > 0.5) != whole.right).any()


def edge(share: float) -> int:
    """Fewest of 100 that are beyond a share, by SciPy."""
    return next(count for count in range(101) if binom.sf(count - 1, 100, share) <= chance.ALPHA)


@pytest.mark.parametrize(
    ("check", "key", "share", "verdict"),
    [
        (rival_checks.fgsm_check, "fgsm", chance.MISSED, "failed"),
        (rival_checks.noise_check, "uniform", chance.MISSED, "failed"),
        (rival_checks.noise_check, "gaussian", chance.MISSED, "failed"),
        (lambda box: rival_checks.square_check(box, 9), "square", chance.MISSED, "failed"),
        (rival_checks.loss_check, "loss", chance.LOSSES, "suspicious"),
        (curve_checks.step_check, "pgd50", chance.UNFINISHED, "suspicious"),
        (curve_checks.start_check, "starts", chance.UNFINISHED, "suspicious"),
    ],
)
def test_what_a_weaker_attack_finds_is_flagged_beyond_its_allowance(check, key, share, verdict):
    others = dict.fromkeys(("pgd", "fgsm", "uniform", "gaussian", "square", "loss", "pgd50", "starts"), 60)
    assert check(Made(**others)).verdict == "ok"
    assert check(Made(**{**others, key: 60 - edge(share) + 1})).verdict == "ok"
    assert check(Made(**{**others, key: 60 - edge(share)})).verdict == verdict


def test_accuracy_that_rises_with_the_radius_is_flagged():
    falling = {"pgd": 40, "eps2": 80, "eps4": 60, "eps8": 40, "eps16": 10}
    check = curve_checks.radius_check(Made(**falling))
    assert check.verdict == "ok"
    assert check.values["y"] == [1, 0.8, 0.6, 0.4, 0.1]
    assert check.values["x"] == pytest.approx([0, 2 / 255, 4 / 255, 8 / 255, 16 / 255])
    # nested outcomes: k samples come back and none falls, p = 2^-k against 0.001 over four pairs
    assert curve_checks.radius_check(Made(**{**falling, "eps8": 60 + 11})).verdict == "ok"
    assert curve_checks.radius_check(Made(**{**falling, "eps8": 60 + 12})).verdict == "failed"


def test_survivors_of_the_grey_ball_fail():
    most = edge(chance.SURVIVES)
    assert curve_checks.grey_check(Made(pgd=0, **{"eps127.5": most - 1})).verdict == "ok"
    assert curve_checks.grey_check(Made(pgd=0, **{"eps127.5": most})).verdict == "failed"


def test_an_undefended_model_that_stands_is_suspicious_but_only_if_it_is_known_to_be_one():
    box = Made(pgd=40)
    assert rival_checks.undefended_check(box, False).verdict == "suspicious"
    assert rival_checks.undefended_check(box, None).verdict == "skipped"
    assert rival_checks.undefended_check(box, True).verdict == "skipped"
    assert rival_checks.undefended_check(Made(pgd=10), False).verdict == "ok"
    box.subject.eps = Fraction(4, 255)
    assert rival_checks.undefended_check(box, False).verdict == "skipped"


def made(name: str, verdict: str) -> Check:
    return Check(name, "attacks", "", verdict, "", "")


@pytest.mark.parametrize(
    ("checks", "verdict", "trusted"),
    [
        ([("a", "ok"), ("b", "skipped")], "ok", True),
        ([("a", "suspicious")], "suspicious", False),
        ([("undefended", "suspicious"), ("saturation", "suspicious")], "suspicious", True),
        ([("saturation", "failed"), ("a", "suspicious")], "failed", False),
    ],
)
def test_trust_is_lost_by_failures_and_by_suspicions_that_bear_on_it(checks, verdict, trusted):
    diagnosis = Diagnosis(tuple(made(*check) for check in checks), {})
    assert (diagnosis.verdict, diagnosis.trusted) == (verdict, trusted)


@pytest.fixture
def linear():
    """Two classes that a linear model tells apart; robust within |margin| / |w|_1 in closed form."""
    weight = torch.randn(1, 4, 4) * 3
    x = torch.rand(80, 1, 4, 4)
    x[0] = torch.tensor([0.0, 1.0]).repeat(8).view(1, 4, 4)
    model = Linear(weight, -float((x * weight).flatten(1).sum(1).median()))
    return model.eval(), TensorDataset(x, model(x).argmax(1))


def test_a_linear_model_is_trusted_and_its_curve_is_the_closed_form(linear, tmp_path):
    model, data = linear
    x, y = data.tensors
    diagnosis = examine(model, data, eps="16/255", samples=80, steps=10, queries=20)
    assert diagnosis.trusted, [c for c in diagnosis.checks if c.verdict not in ("ok", "skipped")]
    curve = diagnosis.check("radius").values
    for eps, share in zip(curve["x"], curve["y"], strict=True):
        # the worst image within the ball and [0, 1]
        down = torch.where(y.bool()[:, None, None, None], -model.weight.sign(), model.weight.sign())
        worst = model((x + eps * down).clamp(0, 1)).argmax(1)
        assert share == pytest.approx((worst == y).float().mean().item(), abs=1.5 / 80)
    path = diagnosis.save(tmp_path)
    told = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert path == tmp_path / "doctor.json"
    assert told.pop("environment")["torch"] == torch.__version__.split("+")[0] or torch.__version__
    assert DOCTOR.read(tmp_path).checks == list(diagnosis.checks)
    assert set(told) == {"schema", "verdict", "trusted", "checks", "settings"}
    assert set(told["checks"][0]) == {"name", "group", "title", "verdict", "figure", "why", "values"}
    assert (told["settings"]["eps"], told["settings"]["samples"], told["settings"]["classes"]) == ("16/255", 80, 2)


def test_figures_do_not_depend_on_the_size_of_a_batch(linear):
    model, data = linear
    # 24 samples show too little for some verdicts, but every outcome is there
    both = [examine(model, data, samples=24, steps=3, queries=5, batch_size=size) for size in (5, 64)]
    names = [c.name for c in both[0].checks if c.group == "attacks"]
    assert [both[0].check(n).values for n in names] == [both[1].check(n).values for n in names]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": "x"}, "8/255"),
        ({"eps": "0"}, "above 0"),
        ({"eps": "2"}, "up to 1"),
        ({"norm": "l3"}, "linf, l2, l1"),
        ({"samples": 0}, "samples: expected 1 or more"),
        ({"steps": 0}, "steps: expected 1 or more"),
    ],
)
def test_wrong_options_are_refused(linear, options, message):
    with pytest.raises(FeatmaskError, match=message):
        examine(*linear, **options)


def test_wrong_data_and_models_are_refused(linear):
    model, data = linear
    with pytest.raises(FeatmaskError, match="the data are empty"):
        examine(model, TensorDataset(torch.rand(0, 1, 4, 4), torch.zeros(0, dtype=torch.long)))
    with pytest.raises(FeatmaskError, match="two classes or more"):
        examine(nn.Sequential(nn.Flatten(), nn.Linear(16, 1)).eval(), data)
    with pytest.raises(FeatmaskError, match="divide 8-bit pixels by 255"):
        examine(model, TensorDataset((data.tensors[0] * 255).byte(), data.tensors[1]))
