"""Retrieval losses against their formulas, written out in float64 with loops over pairs."""

from __future__ import annotations

import math

import pytest
import torch

from featmask.errors import FeatmaskError
from featmask.reid.losses import LOSSES, build_loss

IDS, LENGTH = 7, 12
METRIC = ("triplet", "circle", "contrastive")


def batch(seed=0, persons=5, images=3, spread=1.0):
    """Features near a centre for each person, so that every loss has pairs that cost and pairs that don't."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randperm(IDS, generator=g)[:persons].repeat_interleave(images)
    labels = labels[torch.randperm(len(labels), generator=g)]
    centres = torch.randn(IDS, LENGTH, generator=g)
    features = centres[labels] + spread * torch.randn(len(labels), LENGTH, generator=g)
    logits = tuple(torch.randn(len(labels), IDS, generator=g) * 2 for _ in range(3))
    return logits, features, labels


def value(name, options, data, weight=1.0):
    return build_loss([(name, weight, options)], num_ids=IDS, features=LENGTH)(*data)


def pairs(labels):
    """For each anchor the places of its positives and of its negatives."""
    people = labels.tolist()
    for i, me in enumerate(people):
        same = [j for j, other in enumerate(people) if other == me and j != i]
        yield i, same, [j for j, other in enumerate(people) if other != me]


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def units(features):
    rows = features.double()
    return [(row / row.square().sum().sqrt()).tolist() for row in rows]


def mean(values):
    return sum(values) / len(values) if values else 0.0


def naive_cross_entropy(logits, labels, smoothing):
    total = 0.0
    for one in logits:
        each = []
        for row, label in zip(one.double().tolist(), labels.tolist(), strict=True):
            norm = math.log(sum(math.exp(z) for z in row))
            wanted = [smoothing / IDS + (1 - smoothing) * (k == label) for k in range(IDS)]
            each.append(-sum(q * (z - norm) for q, z in zip(wanted, row, strict=True)))
        total += mean(each)
    return total


def naive_triplet(features, labels, margin):
    rows, costs = features.double().tolist(), []
    for i, same, other in pairs(labels):
        if same and other:
            gap = max(distance(rows[i], rows[j]) for j in same) - min(distance(rows[i], rows[j]) for j in other)
            costs.append(math.log1p(math.exp(gap)) if margin is None else max(0.0, gap + margin))
    return mean(costs)


def naive_circle(features, labels, m, gamma):
    rows, costs = units(features), []

    def cosine(i, j):
        return sum(x * y for x, y in zip(rows[i], rows[j], strict=True))

    for i, same, other in pairs(labels):
        if same and other:
            near = [cosine(i, j) for j in same]
            far = [cosine(i, j) for j in other]
            ups = [-gamma * max(0.0, 1 + m - s) * (s - (1 - m)) for s in near]
            downs = [gamma * max(0.0, s + m) * (s - m) for s in far]
            # log(1 + sum_j sum_k exp(up_j + down_k)), all its terms in sight
            terms = [0.0, *[u + d for u in ups for d in downs]]
            top = max(terms)
            costs.append(top + math.log(sum(math.exp(t - top) for t in terms)))
    return mean([cost for cost in costs if cost > 0])


def naive_contrastive(features, labels, pos_margin, neg_margin):
    rows, pull, push = units(features), [], []
    for i, same, other in pairs(labels):
        pull += [max(0.0, distance(rows[i], rows[j]) - pos_margin) for j in same]
        push += [max(0.0, neg_margin - distance(rows[i], rows[j])) for j in other]
    return mean([p for p in pull if p > 0]) + mean([p for p in push if p > 0])


def naive_arcface(features, labels, weight, margin, scale):
    columns, costs = units(weight.T), []
    for row, label in zip(units(features), labels.tolist(), strict=True):
        cosines = [sum(x * y for x, y in zip(row, column, strict=True)) for column in columns]
        cosines[label] = math.cos(math.acos(cosines[label]) + math.radians(margin))
        scaled = [scale * c for c in cosines]
        top = max(scaled)
        costs.append(top + math.log(sum(math.exp(s - top) for s in scaled)) - scaled[label])
    return mean(costs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy_with_smoothing_is_summed_over_the_classifiers(smoothing):
    logits, features, labels = batch()
    for parts in (1, 3):
        found = value("cross_entropy", {"smoothing": smoothing}, (logits[:parts], features, labels))
        assert float(found) == pytest.approx(naive_cross_entropy(logits[:parts], labels, smoothing), rel=1e-5)


@pytest.mark.parametrize("margin", [0.3, 2.0, 0.0, None])
@pytest.mark.parametrize("seed", range(3))
def test_triplet_takes_the_hardest_of_each_anchor_on_features_as_they_are(margin, seed):
    logits, features, labels = batch(seed, spread=1.2)
    expected = naive_triplet(features, labels, margin)
    assert expected > 0
    assert float(value("triplet", {"margin": margin}, (logits, features, labels))) == pytest.approx(expected, rel=1e-5)
    # not normalised: features of another length are another loss
    longer = naive_triplet(3 * features, labels, margin)
    assert longer != pytest.approx(expected, rel=1e-2)
    assert float(value("triplet", {"margin": margin}, (logits, 3 * features, labels))) == pytest.approx(
        longer, rel=1e-5
    )


def test_triplets_that_are_right_already_count_in_the_mean():
    labels = torch.tensor([0, 0, 1, 1])
    features = torch.zeros(4, LENGTH)
    features[:, 0] = torch.tensor([0.0, 1.0, 2.5, 9.0])
    # gaps d(positive) - d(negative): 1 - 2.5, 1 - 1.5, 6.5 - 1.5, 6.5 - 8
    assert float(value("triplet", {}, ((), features, labels))) == pytest.approx(5.3 / 4)


@pytest.mark.parametrize(("m", "gamma"), [(0.4, 80.0), (0.25, 128.0), (0.25, 2.0)])
@pytest.mark.parametrize("seed", range(3))
def test_circle(m, gamma, seed):
    logits, features, labels = batch(seed, spread=0.6)
    found = value("circle", {"m": m, "gamma": gamma}, (logits, features, labels))
    assert float(found) == pytest.approx(naive_circle(features, labels, m, gamma), rel=1e-4)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.5, 1.4)])
@pytest.mark.parametrize("seed", range(3))
def test_contrastive(low, high, seed):
    logits, features, labels = batch(seed, spread=0.6)
    found = value("contrastive", {"pos_margin": low, "neg_margin": high}, (logits, features, labels))
    expected = naive_contrastive(features, labels, low, high)
    assert expected > 0
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("margin", "scale"), [(28.6, 64.0), (0.0, 64.0), (45.0, 10.0)])
def test_arcface(margin, scale):
    logits, features, labels = batch()
    loss = build_loss([("arcface", 1.0, {"margin": margin, "scale": scale})], num_ids=IDS, features=LENGTH)
    (weight,) = loss.parameters()
    expected = naive_arcface(features, labels, weight.detach(), margin, scale)
    assert loss(logits, features, labels).item() == pytest.approx(expected, rel=1e-4)


def test_arcface_is_trained_along_and_saved():
    logits, features, labels = batch(spread=0.3)
    loss = build_loss([("cross_entropy", 1.0, {}), ("arcface", 0.5, {})], num_ids=IDS, features=LENGTH)
    (weight,) = loss.parameters()
    assert weight.shape == (LENGTH, IDS)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.05)
    before = loss(logits, features, labels).item()
    for _ in range(30):
        optimizer.zero_grad()
        loss(logits, features, labels).backward()
        optimizer.step()
    after = loss(logits, features, labels).item()
    assert after < before / 2
    again = build_loss([("cross_entropy", 1.0, {}), ("arcface", 0.5, {})], num_ids=IDS, features=LENGTH)
    again.load_state_dict(loss.state_dict())
    assert again(logits, features, labels).item() == after


def test_only_arcface_has_parameters():
    for name in LOSSES:
        loss = build_loss([(name, 1.0, {})], num_ids=IDS, features=LENGTH)
        assert len(list(loss.parameters())) == (name == "arcface")


def test_terms_are_weighted_and_added():
    data = batch()
    terms = [("cross_entropy", 2.0, {"smoothing": 0.1}), ("triplet", 0.5, {"margin": None}), ("circle", 0.01, {})]
    loss = build_loss(terms, num_ids=IDS, features=LENGTH)
    logits, features, labels = data
    expected = (
        2.0 * naive_cross_entropy(logits, labels, 0.1)
        + 0.5 * naive_triplet(features, labels, None)
        + 0.01 * naive_circle(features, labels, 0.4, 80.0)
    )
    found = loss(*data)
    assert found.shape == ()
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert "2 * cross_entropy + 0.5 * triplet + 0.01 * circle" in repr(loss)


@pytest.mark.parametrize("name", [*METRIC, "arcface", "cross_entropy"])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_around_it_changes_nothing(name, autocast):
    logits, features, labels = batch()
    halves, half = tuple(one.bfloat16() for one in logits), features.bfloat16().requires_grad_()
    loss = build_loss([(name, 1.0, {})], num_ids=IDS, features=LENGTH)
    exact = loss(tuple(one.float() for one in halves), half.detach().float(), labels)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = loss(halves, half, labels)
    assert found.dtype == torch.float32
    assert float(found.detach()) == float(exact.detach())


@pytest.mark.parametrize("name", METRIC)
@pytest.mark.parametrize(
    "labels", [[0, 1, 2, 3], [2, 2, 2, 2], [3], [0, 0, 1, 2]], ids=["no pair", "one person", "one image", "lone ones"]
)
def test_a_batch_without_pairs_gives_a_finite_loss_and_gradient(name, labels):
    features = torch.randn(len(labels), LENGTH, requires_grad=True)
    found = value(name, {}, ((), features, torch.tensor(labels)))
    found.backward()
    assert features.grad.isfinite().all()
    comparable = {(0, 0, 1, 2): METRIC, (2, 2, 2, 2): ("contrastive",), (0, 1, 2, 3): ("contrastive",)}
    if name not in comparable.get(tuple(labels), ()):
        assert float(found.detach()) == 0
        assert not features.grad.any()
    rows = features.detach()
    naive = {
        "triplet": lambda: naive_triplet(rows, torch.tensor(labels), 0.3),
        "circle": lambda: naive_circle(rows, torch.tensor(labels), 0.4, 80.0),
        "contrastive": lambda: naive_contrastive(rows, torch.tensor(labels), 0.0, 1.0),
    }
    assert float(found.detach()) == pytest.approx(naive[name](), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", METRIC)
def test_one_image_shown_twice_gives_a_finite_gradient(name):
    _, features, labels = batch()
    features = torch.cat([features, features]).requires_grad_()
    value(name, {}, ((), features, labels.repeat(2))).backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("name", ["triplet", "contrastive", "cross_entropy"])
def test_gradients_are_those_of_finite_differences(name):
    logits, features, labels = batch(spread=1.0)
    rows = [features.clone().requires_grad_(), logits[0].clone().requires_grad_()]
    value(name, {}, ((rows[1],), rows[0], labels)).backward()
    options = {"triplet": (0.3,), "contrastive": (0.0, 1.0), "cross_entropy": (0.0,)}[name]
    direction = [torch.randn(features.shape), torch.randn(logits[0].shape)]

    def naive(step):
        moved = [row.detach().double() + step * d.double() for row, d in zip(rows, direction, strict=True)]
        if name == "cross_entropy":
            return naive_cross_entropy((moved[1],), labels, *options)
        return {"triplet": naive_triplet, "contrastive": naive_contrastive}[name](moved[0], labels, *options)

    slope = sum(float((row.grad * d).sum()) for row, d in zip(rows, direction, strict=True) if row.grad is not None)
    assert abs(slope) > 1e-3
    assert slope == pytest.approx((naive(1e-5) - naive(-1e-5)) / 2e-5, rel=1e-3)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([], "at least one term"),
        ([("softmax", 1.0, {})], "unknown loss 'softmax'.*cross_entropy, triplet, circle, contrastive, arcface"),
        ([("triplet", 1.0, {"marign": 0.3})], "'triplet' has no option 'marign'; expected: margin"),
        ([("triplet", 1.0, {"margin": -1})], "'margin': expected a number 0 or more, or null .*; got -1"),
        ([("circle", 1.0, {"gamma": 0})], "'gamma': expected a number above 0; got 0"),
        ([("circle", 1.0, {"m": None})], "'m': expected a number from 0 to 1; got None"),
        ([("cross_entropy", 1.0, {"smoothing": 1.5})], "from 0 to 1; got 1.5"),
        ([("cross_entropy", 1.0, {"smoothing": True})], "got True"),
        ([("arcface", 1.0, {"margin": 100})], "from 0 to 90; got 100"),
        ([("contrastive", 1.0, {"neg_margin": float("nan")})], "got nan"),
        ([("triplet", 0.0, {})], "weight above 0, got 0.0"),
        ([("triplet", float("inf"), {})], "weight above 0, got inf"),
    ],
)
def test_mistakes_in_the_terms(terms, message):
    with pytest.raises(FeatmaskError, match=message):
        build_loss(terms, num_ids=IDS, features=LENGTH)


def test_mistakes_in_the_model_and_the_batch():
    with pytest.raises(FeatmaskError, match="two or more identities"):
        build_loss([("triplet", 1.0, {})], num_ids=1, features=LENGTH)
    logits, features, labels = batch()
    loss = build_loss([("cross_entropy", 1.0, {})], num_ids=IDS, features=LENGTH)
    for mistaken, message in [
        (((), features, labels), "needs a classifier"),
        (((logits[0][:, 1:],), features, labels), rf"logits \({len(labels)}, {IDS}\)"),
        ((logits, features[1:], labels), "features"),
        ((logits, features, labels.float()), "integer labels"),
        ((logits, features, labels - 3), "labels from 0 to 6"),
        ((logits, features, labels + 3), "labels from 0 to 6"),
        (((), features[:0], labels[:0]), "empty batch"),
    ]:
        with pytest.raises(FeatmaskError, match=message):
            loss(*mistaken)
