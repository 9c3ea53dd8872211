"""Deep mis-ranking on a toy embedding: the loss against a naive loop, what training does, and the bound."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn import functional

from featmask.attacks import check_budget
from featmask.errors import FeatmaskError
from featmask.reid.attacks import MisRanking, train_misranking
from featmask.reid.attacks.misranking import mis_ranking_loss


def people(identities, each, seed, noise=0.08):
    generator = torch.Generator().manual_seed(seed)
    prototypes = torch.rand(identities, 3, 16, 8, generator=generator)
    ids = torch.arange(identities).repeat_interleave(each)
    return (prototypes[ids] + noise * torch.randn(len(ids), 3, 16, 8, generator=generator)).clamp(0, 1), ids


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(64, 16),
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def embed(network):
    middle = network(torch.full((1, 3, 16, 8), 0.5)).detach()
    return lambda x: functional.normalize(network(x) - middle, dim=1)


def batches(count):
    return [people(16, 2, seed=10 + i) for i in range(count)]


def rank_1(query, query_ids, gallery, gallery_ids):
    right = 0
    for feature, identity in zip(query.detach(), query_ids, strict=True):
        distances = [float((feature - other).square().sum()) for other in gallery]
        right += int(gallery_ids[distances.index(min(distances))] == identity)
    return right / len(query)


@pytest.fixture(scope="module")
def trained(embed):
    return train_misranking(embed, batches(8), steps=150, lr=2e-3, width=8, eps=Fraction(24, 255))


def test_training_lowers_rank_1_of_people_it_never_saw(embed, trained):
    x, ids = people(40, 3, seed=99)
    own = torch.arange(len(ids)) % 3 == 0
    query, gallery = x[own], embed(x[~own]).detach()
    adversarial = trained(query)
    check_budget(adversarial, query, trained)
    clean = rank_1(embed(query), ids[own], gallery, ids[~own])
    attacked = rank_1(embed(adversarial), ids[own], gallery, ids[~own])
    torch.manual_seed(0)
    untrained = rank_1(embed(MisRanking(trained.eps, width=8)(query)), ids[own], gallery, ids[~own])
    assert clean == 1
    # 40 queries: 0.1 is four of them
    assert untrained > 0.9
    assert attacked < 0.6
    assert sum(trained.losses[-10:]) < 0.8 * sum(trained.losses[:10])


@pytest.mark.parametrize("size", [(16, 8), (17, 9), (8, 13)])
def test_the_bound_is_hard_whatever_was_learned(size):
    for eps in (Fraction(16, 255), Fraction(1, 255)):
        wild = MisRanking(eps, width=4)
        with torch.no_grad():
            for weight in wild.parameters():
                weight.mul_(50)
        x = torch.rand(4, 3, *size).round()  # black and white: nothing wraps around
        adversarial = wild(x)
        check_budget(adversarial, x, wild)
        assert (adversarial - x).abs().max() > 0.9 * float(eps)


def test_the_loss_is_the_reversed_triplet_loss_of_a_naive_loop():
    ids = torch.tensor([0, 0, 0, 1, 1, 2])
    clean = torch.randn(6, 5)
    adversarial = clean + 0.1 * torch.randn(6, 5)  # nearest to its own image, which must not count
    total = 0.0
    for i in range(6):
        far = max(float((adversarial[i] - clean[j]).square().sum()) for j in range(6) if ids[j] != ids[i])
        same = [j for j in range(6) if ids[j] == ids[i] and j != i] or [i]
        near = min(float((adversarial[i] - clean[j]).square().sum()) for j in same)
        total += max(0.0, 0.3 + far - near)
    assert float(mis_ranking_loss(adversarial, clean, ids, 0.3)) == pytest.approx(total / 6, rel=1e-5)
    # ranked wrongly by more than the margin: nothing is left to gain
    wrong = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    assert mis_ranking_loss(wrong, 1 - wrong, torch.tensor([0, 0, 1, 1]), 0.3) == 0


def test_seeds_repeat_and_leave_the_callers_random_state(embed):
    before = torch.get_rng_state()
    first, again, other = (train_misranking(embed, batches(1), steps=2, width=4, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    x, _ = people(2, 2, seed=0)
    assert torch.equal(first(x), again(x))
    assert not torch.equal(first(x), other(x))


def test_the_embedding_is_left_alone(network, embed):
    before = [weight.detach().clone() for weight in network.parameters()]
    result = train_misranking(embed, batches(1), steps=2, width=4)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(weight.grad is None for weight in network.parameters())
    assert not any(weight.requires_grad for weight in result.parameters())
    assert not result.training


def test_neighbours_change_nothing(trained):
    x, _ = people(3, 2, seed=4)
    assert torch.allclose(trained(x)[2:3], trained(x[2:3]), atol=1e-6)


def test_names_and_radius():
    assert MisRanking(16 / 255).eps == Fraction(16, 255)
    assert MisRanking(16 / 255).name == "misranking@16/255"
    assert "eps=16/255" in repr(MisRanking())


def test_mistakes_say_what_to_do(embed):
    x, ids = people(2, 2, seed=0)
    with pytest.raises(FeatmaskError, match="one identity"):
        train_misranking(embed, [(x, ids * 0)], steps=1, width=4)
    with pytest.raises(FeatmaskError, match="gone through again"):
        train_misranking(embed, iter([(x, ids)]), steps=2, width=4)
    with pytest.raises(FeatmaskError, match=r"pixels in \[0, 1\]"):
        train_misranking(embed, [(x * 2, ids)], steps=1, width=4)
    with pytest.raises(FeatmaskError, match="N ids"):
        train_misranking(embed, [(x, ids[:1])], steps=1, width=4)
    with pytest.raises(FeatmaskError, match="must not detach"):
        train_misranking(lambda z: embed(z).detach(), [(x, ids)], steps=1, width=4)
    with pytest.raises(FeatmaskError, match="not a number"):
        train_misranking(lambda z: embed(z) * torch.nan, [(x, ids)], steps=1, width=4)
    with pytest.raises(FeatmaskError, match="steps of 1"):
        train_misranking(embed, [(x, ids)], steps=0)
    with pytest.raises(FeatmaskError, match="16/255"):
        MisRanking(16)
    with pytest.raises(FeatmaskError, match="sides of 8"):
        MisRanking()(torch.rand(1, 3, 6, 6))
