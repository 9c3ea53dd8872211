"""Adversarial batches: the budget, the share, and objectives recomputed with loops on a linear embedding."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn

from featmask.attacks import check_budget
from featmask.errors import FeatmaskError
from featmask.reid.adversarial import adversarial_batch
from featmask.reid.attacks import MetricAttack

KINDS = ("mifgsm", "fna", "sma", "odfa", "goat")
GUIDED = ("mifgsm", "fna", "goat")
EPS = Fraction(5, 255)
LABELS = torch.tensor([3, 0, 3, 1, 0, 1, 3, 0])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def model():
    """Linear, so that distances of features are quadratic in the pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 4, 8)).eval()


def pixels(count=8):
    return torch.rand(count, 3, 6, 4, generator=seeded(9))


def attacked(embed, x, labels=LABELS, seed=0, **options):
    options = {"kind": "goat", "eps": EPS, "generator": seeded(seed)} | options
    return adversarial_batch(embed, x, labels, **options)


def squared(a, b):
    return (a.double() - b.double()).square().sum().item()


def objective(kind, i, feature, clean, labels):
    """What the attack maximises for image i, from the clean features of its batch."""
    if kind == "sma":
        return squared(feature, clean[i])
    if kind == "odfa":
        return -squared(feature, -clean[i])
    same = [j for j in range(len(labels)) if labels[j] == labels[i] and j != i]
    away = sum(squared(feature, clean[j]) for j in same) / len(same)
    if kind == "mifgsm":
        return away
    people = [p for p in labels.unique().tolist() if p != int(labels[i])]
    centres = [torch.stack([clean[j] for j in range(len(labels)) if labels[j] == p]).mean(0) for p in people]
    furthest = max(centres, key=lambda centre: squared(clean[i], centre))
    return away - squared(feature, furthest)


@pytest.mark.parametrize("kind", KINDS)
def test_the_budget_is_kept_and_the_batch_itself_stays(kind):
    x = pixels()
    before = x.clone()
    moved = attacked(model(), x, kind=kind)
    check_budget(moved, x, MetricAttack("fna", EPS))
    assert torch.equal(x, before)
    assert (moved != x).flatten(1).any(1).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_objective_goes_up_for_every_image(kind, seed):
    torch.manual_seed(seed)
    embed, x = model(), pixels()
    with torch.no_grad():
        clean, moved = embed(x), embed(attacked(embed, x, kind=kind))
        noisy = embed((x + float(EPS) * torch.empty_like(x).uniform_(-1, 1).sign()).clamp(0, 1))
    for i in range(len(x)):
        before, after, chance = (objective(kind, i, f[i], clean, LABELS) for f in (clean, moved, noisy))
        # further than the same budget leads at random
        assert after > max(before, chance)


@pytest.mark.parametrize(("share", "count"), [(1.0, 8), (0.5, 4), (0.3, 2), (0.01, 1)])
@pytest.mark.parametrize("kind", ["goat", "odfa"])
def test_a_share_of_the_batch_is_replaced(share, count, kind):
    embed, x = model(), pixels()
    changed = [(attacked(embed, x, kind=kind, share=share, seed=s) != x).flatten(1).any(1) for s in range(40)]
    assert {int(c.sum()) for c in changed} == {count}
    # every image is chosen by some seed: one stays out of 40 draws of 1 in 8 with a chance below 8 * (7/8)^40 = 4 %,
    # and the seeds are fixed
    assert torch.stack(changed).any(0).all()


def test_guides_come_from_the_images_that_are_not_replaced_too():
    embed, x = model(), pixels()
    with torch.no_grad():
        clean = embed(x)
    one = attacked(embed, x, share=0.01)
    (i,) = (one != x).flatten(1).any(1).nonzero().flatten().tolist()
    whole = attacked(embed, x)
    # the attack on an image does not depend on which others are attacked
    assert torch.equal(one[i], whole[i])
    assert objective("goat", i, embed(one)[i], clean, LABELS) > objective("goat", i, clean[i], clean, LABELS)


def test_goat_is_fna_on_the_batch_with_seven_steps():
    x, inner, passes = pixels(), model(), []

    def embed(images):
        passes.append(torch.is_grad_enabled())
        return inner(images)

    goat = attacked(embed, x, kind="goat")
    assert passes == [False] + 7 * [True]  # the clean features once, then a pass a step
    assert torch.equal(goat, attacked(embed, x, kind="fna", steps=7))
    assert not torch.equal(goat, attacked(embed, x, kind="mifgsm"))


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_get_no_gradient_and_keep_theirs(kind):
    embed, x = model(), pixels()
    attacked(embed, x, kind=kind)
    assert all(p.grad is None for p in embed.parameters())
    embed(x).square().sum().backward()
    before = [p.grad.clone() for p in embed.parameters()]
    moved = attacked(embed, x, kind=kind)
    assert all(torch.equal(p.grad, g) for p, g in zip(embed.parameters(), before, strict=True))
    assert not moved.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_repeats_the_batch(kind):
    embed, x = model(), pixels()
    assert torch.equal(attacked(embed, x, kind=kind, share=0.5), attacked(embed, x, kind=kind, share=0.5))
    assert not torch.equal(attacked(embed, x, kind=kind, share=0.5), attacked(embed, x, kind=kind, share=0.5, seed=1))


@pytest.mark.parametrize("kind", KINDS)
def test_lone_and_doubled_images_are_attacked_as_well(kind):
    x = pixels(5)
    x[1] = x[0]  # a person with one image, shown twice: no gradient leads away from its own feature
    labels = torch.tensor([0, 0, 1, 1, 2])
    embed = model()
    moved = attacked(embed, x, labels, kind=kind)
    with torch.no_grad():
        distance = (embed(moved) - embed(x)).norm(dim=1)
    assert (distance > 0.01).all()


def test_half_precision_features_and_surrounding_no_grad():
    embed, x = model().bfloat16(), pixels()
    with torch.no_grad():
        moved = attacked(lambda p: embed(p.bfloat16()), x)
    check_budget(moved, x, MetricAttack("fna", EPS))
    assert (moved != x).flatten(1).any(1).all()


def test_an_empty_batch_and_an_empty_budget():
    embed, x = model(), pixels()
    assert attacked(embed, x[:0], LABELS[:0]).shape == (0, 3, 6, 4)
    assert torch.equal(attacked(embed, x, eps=Fraction(0)), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "lta"}, "unknown defence 'lta'; expected one of: goat, fna, mifgsm, sma, odfa"),
        ({"share": 0.0}, "share of the batch above 0 to 1, got 0.0"),
        ({"share": 1.1}, "got 1.1"),
        ({"eps": Fraction(5)}, "eps: expected pixels"),
        ({"steps": 0}, "steps"),
        ({"labels": torch.zeros(8, dtype=torch.long)}, r"two or more identities.*got labels \[0\]"),
        ({"labels": LABELS - 1}, "numbered from 0"),
        ({"labels": LABELS[1:]}, "a label for each of 8 images"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(FeatmaskError, match=message):
        attacked(model(), pixels(), **options)


@pytest.mark.parametrize("kind", ["sma", "odfa"])
def test_kinds_without_guides_need_no_second_person(kind):
    x = pixels()
    assert not torch.equal(attacked(model(), x, torch.zeros(8, dtype=torch.long), kind=kind), x)


@pytest.mark.cuda
@pytest.mark.parametrize("kind", GUIDED)
def test_on_cuda(kind):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    embed, x = model().cuda(), pixels().cuda()
    moved = attacked(embed, x, LABELS.cuda(), kind=kind, share=0.5)
    check_budget(moved, x, MetricAttack("fna", EPS))
    assert int((moved != x).flatten(1).any(1).sum()) == 4
