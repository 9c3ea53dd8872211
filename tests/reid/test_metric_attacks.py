"""Attacks on retrieval against closed forms (linear embeddings) and a naive mean average precision."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from featmask.attacks import check_budget
from featmask.data.grey import grey_patches
from featmask.errors import FeatmaskError
from featmask.reid.attacks import Guides, MetricAttack, choose_guides, perturb
from featmask.reid.attacks.embedding import gradient_of

KINDS = ("fgsm", "ifgsm", "mifgsm", "sma", "fna", "odfa", "lta")
GUIDED = ("fgsm", "ifgsm", "mifgsm", "fna")
PIXELS = 3 * 6 * 4
EPS = Fraction(5, 255)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def inner_pixels(count, dtype=torch.float32):
    """Away from 0 and 1, so that the box does not bind and closed forms are exact."""
    return torch.rand(count, 3, 6, 4, dtype=dtype) * 0.6 + 0.2


def linear(rank):
    w = torch.randn(rank, PIXELS)
    return w, lambda x: x.flatten(1) @ w.to(x).T


def one_guide(push, pull=None):
    return Guides(
        push[:, None], torch.ones(len(push), 1, dtype=torch.bool), torch.zeros_like(push) if pull is None else pull
    )


def direction_of(u, norm):
    return u.sign() if norm == "linf" else u / u.flatten(1).norm(dim=1)[:, None, None, None]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_one_step_away_from_a_guide_follows_the_closed_gradient(norm):
    w, embed = linear(8)
    x, guide = inner_pixels(16), torch.randn(16, 8)
    # the gradient of |W(x + d) - g|^2 at d = 0
    gradient = (2 * (embed(x) - guide) @ w).reshape(x.shape)
    eps = Fraction(1, 100)
    expected = x + 0.01 * direction_of(gradient, norm)
    step = perturb(MetricAttack("fgsm", eps, norm=norm), embed, x, one_guide(guide))
    assert torch.allclose(step, expected, atol=1e-6)
    # an iterated attack with one step of size eps is FGSM
    for kind in ("ifgsm", "mifgsm"):
        again = perturb(MetricAttack(kind, eps, steps=1, step_size=0.01, norm=norm), embed, x, one_guide(guide))
        assert torch.allclose(again, expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", KINDS)
def test_iterated_attacks_reach_the_optimum_of_a_rank_1_embedding(kind, norm):
    """f(x) = w.x is moved most by eps * sign(w) or eps * w / |w|: only the sign is left to the objective."""
    w, embed = linear(1)
    # float64: near the optimum of an L2 ball the objective is flat, and float32 cannot tell the last steps apart
    x = inner_pixels(32, torch.float64)
    if kind == "lta":  # almost grey: which rectangle is drawn does not decide the sign
        x = x.mean(1, keepdim=True) + (x - 0.5) / 1000
    w, guide, pull = w.double(), *torch.randn(2, 32, 1, dtype=torch.float64)
    eps = Fraction(1, 50)
    best = direction_of(w.reshape(1, 3, 6, 4), norm) * 0.02
    clean = embed(x)
    signs = {
        "fgsm": clean - guide, "ifgsm": clean - guide, "mifgsm": clean - guide,
        "fna": pull - guide,  # the squares cancel: the objective is linear in f
        "odfa": -clean,
    }  # fmt: skip
    reach = (w.abs().sum() if norm == "linf" else w.norm()) * 0.02
    # where the ball reaches beyond -f(x), ODFA rests inside it
    kept = (2 * clean.abs() > reach)[:, 0] if kind == "odfa" else torch.ones(32, dtype=torch.bool)
    assert kept.sum() > 20
    attack = MetricAttack(kind, eps, steps=60, step_size=0.01, norm=norm)
    change = perturb(attack, embed, x, one_guide(guide, pull), generator=seeded()) - x
    moved = embed(x + change) - clean
    sign = signs[kind].sign() if kind in signs else moved.sign()
    assert torch.allclose(change[kept], (sign[:, :, None, None] * best)[kept], atol=2e-6)


def cnn(dtype=torch.float32):
    torch.manual_seed(3)
    body = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(64, 16),
    )  # fmt: skip
    body = body.to(dtype).eval().requires_grad_(False)
    middle = body(torch.full((1, 3, 12, 8), 0.5, dtype=dtype))
    return lambda x: functional.normalize(body(x) - middle, dim=1)


def people(identities=10, each=6, noise=0.10, dtype=torch.float32):
    torch.manual_seed(5)
    prototypes = torch.rand(identities, 3, 12, 8)
    ids = torch.arange(identities).repeat_interleave(each)
    x = (prototypes[ids] + noise * torch.randn(len(ids), 3, 12, 8)).clamp(0, 1)
    return x.to(dtype), ids, torch.arange(len(ids)) % 3


def mean_average_precision(query, query_ids, gallery, gallery_ids):
    precisions = []
    for feature, identity in zip(query, query_ids, strict=True):
        order = sorted(range(len(gallery)), key=lambda j: float(((feature - gallery[j]) ** 2).sum()))
        hits, total = 0, 0.0
        for rank, j in enumerate(order, 1):
            if gallery_ids[j] == identity:
                hits += 1
                total += hits / rank
        precisions.append(total / hits)
    return sum(precisions) / len(precisions)


@pytest.fixture(scope="module")
def retrieval():
    embed = cnn()
    x, ids, cams = people()
    own = torch.arange(len(ids)) % 6 < 2
    features = embed(x)
    rows = own.nonzero()[:, 0]
    guides = choose_guides(ids[own], cams[own], rows, features[own], features, ids, cams)
    return embed, x[own], ids[own], guides, features[~own], ids[~own]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", KINDS)
def test_precision_falls_as_the_budget_grows(retrieval, kind, norm):
    embed, x, ids, guides, gallery, gallery_ids = retrieval
    scores = []
    for level in (0, 5, 12, 24):
        # an L2 ball that holds about as many pixels' change
        eps = Fraction(level, 255) if norm == "linf" else Fraction(level, 255) * 12
        attack = MetricAttack(kind, eps, norm=norm)
        adversarial = perturb(attack, embed, x, guides, generator=seeded())
        check_budget(adversarial, x, attack)
        scores.append(mean_average_precision(embed(adversarial), ids, gallery, gallery_ids))
    assert scores[0] > 0.95
    # 20 queries: 0.02 is two fifths of one query's precision
    assert all(later <= earlier + 0.02 for earlier, later in pairwise(scores)), scores
    assert scores[-1] < 0.5, scores


def test_noise_of_the_same_size_is_weaker(retrieval):
    embed, x, ids, _, gallery, gallery_ids = retrieval
    noisy = (x + 24 / 255 * (torch.rand(x.shape) * 2 - 1).sign()).clamp(0, 1)
    assert mean_average_precision(embed(noisy), ids, gallery, gallery_ids) > 0.8


def test_more_steps_are_no_weaker_by_the_attacks_own_objective(retrieval):
    embed, x, _, _, _, _ = retrieval
    clean = embed(x)

    def gain(steps):
        attack = MetricAttack("sma", EPS, steps=steps, step_size=2 / 255)
        return (embed(perturb(attack, embed, x, generator=seeded())) - clean).square().sum(1)

    assert gain(20).mean() > gain(3).mean()


def test_odfa_turns_the_feature_around_and_a_flipped_sign_would_not(retrieval):
    embed, x, _, _, _, _ = retrieval
    clean = embed(x)

    def cosine(adversarial):
        return (embed(adversarial) * clean).sum(1)

    seen = [cosine(perturb(MetricAttack("odfa", Fraction(e, 255)), embed, x, generator=seeded())) for e in (2, 8, 64)]
    assert (seen[0] < 1 - 1e-3).all()
    assert seen[0].mean() > seen[1].mean() > seen[2].mean()
    assert (seen[2] < -0.5).all()

    # the other sign, written out: descent on |f' - (-f)| becomes ascent, and the feature stays where it was
    now = x + 64 / 255 * (torch.rand(x.shape, generator=seeded()) * 2 - 1)
    for _ in range(15):
        leaf = now.clamp(0, 1).requires_grad_()
        (gradient,) = torch.autograd.grad((embed(leaf) + clean).square().sum(), leaf)
        now = torch.minimum(torch.maximum(leaf.detach() + 11 / 255 * gradient.sign(), x - 64 / 255), x + 64 / 255)
    assert (cosine(now.clamp(0, 1)) > 0.5).all()


def test_sma_needs_its_start_and_odfa_on_unit_features_is_the_same_attack(retrieval):
    embed, x, _, _, _, _ = retrieval
    clean = embed(x)
    for objective in (lambda f: (f - clean).square().sum(1), lambda f: -(f + clean).square().sum(1)):
        gradient, _ = gradient_of(embed, x, objective, 1)
        assert gradient.abs().max() < 1e-5
    sma, odfa = (perturb(MetricAttack(k, EPS), embed, x, generator=seeded()) for k in ("sma", "odfa"))
    close = ((embed(sma) - clean).norm(dim=1) - (embed(odfa) - clean).norm(dim=1)).abs()
    assert close.max() < 0.02


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_budget_no_change(retrieval, kind, norm):
    embed, x, _, guides, _, _ = retrieval
    attack = MetricAttack(kind, Fraction(0), steps=3, norm=norm)
    assert torch.equal(perturb(attack, embed, x, guides, generator=seeded()), x)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", GUIDED)
def test_neighbours_in_the_batch_change_nothing(kind, norm):
    """In float64: in float32 a batch's other order of sums may flip the sign of a gradient near zero."""
    embed = cnn(torch.float64)
    x, ids, cams = people(identities=4, dtype=torch.float64)
    features = embed(x)
    rows = torch.tensor([0, 7, 13, 20])
    guides = choose_guides(ids[rows], cams[rows], rows, features[rows], features, ids, cams)
    attack = MetricAttack(kind, EPS if norm == "linf" else Fraction(1, 2), norm=norm)
    together = perturb(attack, embed, x[rows], guides)
    for i in range(4):
        alone = perturb(attack, embed, x[rows[i : i + 1]], guides[i : i + 1])
        assert torch.allclose(alone[0], together[i], rtol=0, atol=1e-6)
    assert (together - x[rows]).abs().max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_generators_repeat_bit_for_bit_and_matter_where_something_is_drawn(retrieval, kind):
    embed, x, _, guides, _, _ = retrieval
    attack = MetricAttack(kind, EPS, steps=4)
    first, second, other = (perturb(attack, embed, x, guides, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert torch.equal(first, other) == (kind in GUIDED)


def test_an_image_without_guides_is_pushed_from_its_own_feature(retrieval):
    embed, x, _, guides, _, _ = retrieval
    mask = guides.push_mask.clone()
    mask[3] = False
    # what stands where no guide is must not matter
    push = guides.push.clone()
    push[3] = 1e3
    lonely = Guides(push, mask, guides.pull)
    for kind in GUIDED:
        attack = MetricAttack(kind, EPS)
        result = perturb(attack, embed, x, lonely, generator=seeded())
        check_budget(result, x, attack)
        others = torch.arange(len(x)) != 3
        assert torch.equal(result[others], perturb(attack, embed, x, guides)[others])
        if kind in ("ifgsm", "fna"):
            sma = perturb(MetricAttack("sma", EPS), embed, x, generator=seeded())
            assert torch.equal(result[3], sma[3])
        assert (embed(result[3:4]) - embed(x[3:4])).norm() > 0.05


def test_known_clean_features_save_a_pass(retrieval):
    embed, x, _, _, _, _ = retrieval
    calls = []

    def counted(pixels):
        calls.append(len(pixels))
        return embed(pixels)

    attack = MetricAttack("sma", EPS, steps=5)
    without = perturb(attack, counted, x, generator=seeded())
    assert len(calls) == 6
    assert torch.equal(without, perturb(attack, counted, x, generator=seeded(), clean=embed(x)))
    assert len(calls) == 11


def test_the_best_image_met_is_kept():
    """With a step that oscillates, the result scores no less than the best that a naive replay sees, but its last."""
    embed = cnn()
    x, _, _ = people(identities=8, each=1)
    clean, eps, stride = embed(x), 8 / 255, 7 / 255
    attack = MetricAttack("sma", Fraction(8, 255), steps=9, step_size=stride)
    result = (embed(perturb(attack, embed, x, generator=seeded())) - clean).square().sum(1)
    now = (x + eps * (torch.rand(x.shape, generator=seeded()) * 2 - 1)).clamp(0, 1)
    seen = []
    for _ in range(9):
        leaf = now.clone().requires_grad_()
        score = (embed(leaf) - clean).square().sum(1)
        (gradient,) = torch.autograd.grad(score.sum(), leaf)
        seen.append(score.detach())
        now = torch.minimum(torch.maximum(now + stride * gradient.sign(), x - eps), x + eps).clamp(0, 1)
    last = (embed(now) - clean).square().sum(1)
    seen = torch.stack(seen)
    expected = torch.where(seen.argmax(0) == 8, last, seen.amax(0))
    assert torch.allclose(result, expected, atol=1e-4)
    assert (seen.argmax(0) < 8).any(), "no sample oscillated: the test shows nothing"


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_momentum_is_that_of_a_naive_replay(momentum):
    """Gradients divided by their mean size are summed up, the past by its share; the sign of the sum is followed."""
    embed, (x, _, _) = cnn(torch.float64), people(identities=6, each=1, dtype=torch.float64)
    guide, eps = embed(x).roll(1, 0), 8 / 255
    attack = MetricAttack("mifgsm", Fraction(8, 255), steps=4, step_size=1 / 255, momentum=momentum)
    result = perturb(attack, embed, x, one_guide(guide))
    for i in range(6):
        now, velocity = x[i : i + 1], 0.0
        for _ in range(4):
            leaf = now.clone().requires_grad_()
            (gradient,) = torch.autograd.grad((embed(leaf) - guide[i]).square().sum(), leaf)
            velocity = momentum * velocity + gradient / gradient.abs().mean()
            now = torch.minimum(torch.maximum(now + velocity.sign() / 255, x[i] - eps), x[i] + eps).clamp(0, 1)
        # the objective rises at each of these small steps: the last image is the one that is returned
        assert torch.allclose(result[i], now[0], rtol=0, atol=1e-12)


def test_passes_over_a_random_model_average_its_noise():
    x = inner_pixels(2, torch.float64)
    w = torch.randn(4, PIXELS, dtype=torch.float64)

    def random(pixels):
        kept = (torch.rand(4, PIXELS, dtype=torch.float64) < 0.5) * 2.0
        return pixels.flatten(1) @ (w * kept).T

    def variance(eot):
        gradients = [gradient_of(random, x, lambda f: f.square().sum(1), eot)[0] for _ in range(60)]
        return torch.stack(gradients).var(0).mean()

    # the mean of 16 has a sixteenth of the variance; over 60 repeats and 144 pixels a fourfold error is out of reach
    ratio = float(variance(1) / variance(16))
    assert 8 < ratio < 32


def test_grey_patches_are_rectangles_of_luma():
    x = torch.rand(200, 3, 40, 20)
    grey = grey_patches(x, seeded())
    luma = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    changed = (grey != x).any(1)
    shares = changed.float().mean((1, 2))
    for i in range(200):
        rows, columns = changed[i].any(1), changed[i].any(0)
        assert int(changed[i].sum()) == int(rows.sum()) * int(columns.sum())
        assert torch.allclose(grey[i][:, changed[i]], luma[i][changed[i]].expand(3, -1), atol=1e-6)
        assert torch.equal(grey[i][:, ~changed[i]], x[i][:, ~changed[i]])
    assert shares.min() > 0.01
    assert shares.max() < 0.42
    # uniform from 0.02 to 0.4, less what is cut at the sides
    assert 0.15 < shares.mean() < 0.23
    assert not torch.equal(grey, grey_patches(x, seeded(1)))


def test_nothing_of_the_callers_is_touched(retrieval):
    embed, x, _, guides, _, _ = retrieval
    layer = nn.Conv2d(3, 3, 1)
    before, push = x.clone(), guides.push.clone()
    for kind in KINDS:
        perturb(MetricAttack(kind, EPS, steps=2), lambda z: embed(layer(z)), x, guides, generator=seeded())
    assert torch.equal(x, before)
    assert torch.equal(guides.push, push)
    assert all(parameter.grad is None for parameter in layer.parameters())


def test_a_caller_in_inference_mode_gets_the_same(retrieval):
    embed, x, _, guides, _, _ = retrieval
    for kind in KINDS:
        attack = MetricAttack(kind, EPS, steps=2)
        expected = perturb(attack, embed, x, guides, generator=seeded())
        with torch.inference_mode():
            inside = Guides(guides.push + 0, guides.push_mask & True, guides.pull + 0)
            assert torch.equal(perturb(attack, embed, x + 0, inside, generator=seeded()), expected)


def test_no_images_no_work():
    empty = torch.zeros(0, 3, 4, 4)
    assert perturb(MetricAttack("sma", EPS), lambda x: x.flatten(1), empty).shape == empty.shape


class Opaque(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.flatten(1).clone()

    @staticmethod
    def backward(ctx, gradient):
        return torch.full((len(gradient), 3, 6, 4), torch.nan)


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        (lambda x: x.detach().flatten(1), "must not detach"),
        (lambda x: torch.ones(len(x), 2, requires_grad=True) * 2, "do not depend on the pixels"),
        (Opaque.apply, "not finite"),
        (lambda x: x, r"shape \(N, D\) with N = 2"),
        (lambda x: x.flatten(1)[:1], r"shape \(N, D\) with N = 2"),
    ],
)
def test_embeddings_that_cannot_be_attacked_say_why(embed, message):
    with pytest.raises(FeatmaskError, match=message):
        perturb(
            MetricAttack("sma", EPS), embed, inner_pixels(2), clean=torch.ones(2, PIXELS if "finite" in message else 2)
        )


def test_mistakes_say_what_to_do():
    x, (_, embed) = inner_pixels(2), linear(4)
    fine = one_guide(torch.zeros(2, 4))
    for pixels in (x * 2, x - 0.5, x.where(x > 0.3, torch.nan)):
        with pytest.raises(FeatmaskError, match=r"pixels in \[0, 1\]"):
            perturb(MetricAttack("fgsm", EPS), embed, pixels, fine)
    with pytest.raises(FeatmaskError, match="as floats"):
        perturb(MetricAttack("fgsm", EPS), embed, x[0], fine)
    with pytest.raises(FeatmaskError, match="choose_guides"):
        perturb(MetricAttack("fna", EPS), embed, x)
    with pytest.raises(FeatmaskError, match="N = 2"):
        perturb(MetricAttack("fna", EPS), embed, x, one_guide(torch.zeros(3, 4)))
    with pytest.raises(FeatmaskError, match="3 channels"):
        perturb(MetricAttack("lta", EPS), embed, x[:, :1])


def test_names_and_rules_of_an_attack():
    assert MetricAttack("fna", EPS).name == "fna@5/255"
    assert MetricAttack("fna", Fraction(1), norm="l2").name == "fna-l2@1"
    assert MetricAttack("odfa", Fraction(1, 510)).name == "odfa@0.5/255"
    assert [MetricAttack(kind, EPS).needs_guides for kind in KINDS] == [kind in GUIDED for kind in KINDS]
    assert MetricAttack("fna", EPS).stride() == 1 / 255
    assert MetricAttack("fna", Fraction(16, 255)).stride() == pytest.approx(2.5 * 16 / 255 / 15)
    assert MetricAttack("fna", Fraction(3, 10), norm="l2").stride() == pytest.approx(0.05)
    assert MetricAttack("fgsm", EPS, step_size=1.0).stride() == float(EPS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": Fraction(5)}, "5/255"),
        ({"eps": Fraction(-1), "norm": "l2"}, "0 or more"),
        ({"steps": 0}, "1 or more"),
        ({"eot": 0}, "1 or more"),
        ({"step_size": 0.0}, "above 0"),
        ({"momentum": -1.0}, "0 or more"),
        ({"kind": "cw"}, "fgsm, ifgsm"),
        ({"norm": "l1"}, "linf, l2"),
    ],
)
def test_attacks_that_make_no_sense_are_refused(options, message):
    with pytest.raises(FeatmaskError, match=message):
        MetricAttack(**{"kind": "sma", "eps": EPS, **options})
