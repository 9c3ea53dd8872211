"""Adversarial training against closed forms, hand-rolled loops and naive formulas; what it must not touch; recipes."""

from __future__ import annotations

import copy
from fractions import Fraction
from itertools import chain, pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import BatchSampler, DataLoader

from featmask.attacks import Attack, Stream, check_budget
from featmask.classification.adversarial import Climb, Free, OnAdversarial, Trades, under_attack
from featmask.classification.recipe import Adversarial
from featmask.classification.task import Classification
from featmask.errors import FeatmaskError
from featmask.layers import LocalFeatureMasking
from featmask.recipe import override
from featmask.records.run import read_epochs
from featmask.study.fields import parse_recipe
from featmask.study.run import make_model, put_method
from featmask.training import loop as training
from featmask.training.sampling import Replays, Shares, Shuffle
from featmask.utils.eval_mode import evaluating

KINDS = ("pgd", "trades", "free", "fast")
EPS = 0.1
RAW = {
    "name": "tiny",
    "data": {"name": "digits"},
    "model": {"name": "resnet8"},
    "train": {"epochs": 3, "batch_size": 64, "lr": 0.1, "warmup_epochs": 1, "tensorboard": False},
    "methods": {
        "none": None,
        "lfm": None,
        "lfm_at": {"layer": "lfm", "set": {"train.adversarial": {"kind": "pgd", "eps": "8/255", "steps": 3}}},
        "free": {"layer": "none", "set": {"train.adversarial": {"kind": "free"}}},
    },
}  # fmt: skip


def recipe_of(*changes: str):
    return parse_recipe(override(RAW, changes), "here")


@pytest.fixture(scope="module")
def digits():
    return Classification(recipe_of("data.augment=[shift]"))


@pytest.fixture(scope="module")
def few():
    """A quarter of them: four batches of 64."""
    return Classification(recipe_of("data.augment=[shift]", "data.train_share=0.25"))


def linear(classes=2):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 5 * 4, classes))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 4),
    )  # fmt: skip


def batch(count=8, classes=2, margin=0.0):
    """Pixels at least ``margin`` away from 0 and 1, labels, uneven weights."""
    pixels = margin + (1 - 2 * margin) * torch.rand(count, 3, 5, 4)
    return pixels, torch.arange(count) % classes, torch.linspace(0.5, 2, count)


class Loss(nn.Module):
    """Smoothed, weighted cross-entropy by its definition; remembers what it saw."""

    def __init__(self, smoothing=0.0):
        super().__init__()
        self.smoothing, self.seen = smoothing, []

    def forward(self, model, pixels, labels, weights):
        self.seen.append(pixels.detach().clone())
        logits = model(pixels)
        return naive_loss(logits, labels, weights, self.smoothing), (logits.argmax(1) == labels).sum()


def naive_loss(logits, labels, weights, smoothing=0.0):
    log_p = logits - logits.exp().sum(1, keepdim=True).log()
    target = (1 - smoothing) * functional.one_hot(labels, logits.shape[1]) + smoothing / logits.shape[1]
    return ((-(target * log_p).sum(1)) * weights).sum() / weights.sum()


def objective_of(kind, loss, count=8, **options):
    """The objective of a kind, and the order that it goes with."""
    settings = Adversarial(kind=kind, **{"eps": str(EPS), **options})
    return under_attack(loss, Shuffle(count, 0), settings, batch_size=count)


def slope(model, labels):
    """The way to the other class, (N, C, H, W)."""
    weight = model[-1].weight.detach()
    return (weight[1 - labels] - weight[labels]).view(-1, 3, 5, 4)


def test_pgd_on_a_linear_model_is_the_corner_of_ball_and_box():
    model, loss, (x, y, w) = linear(), Loss(), batch()
    for _ in range(2):
        OnAdversarial(loss, Climb(EPS, 2.5 * EPS / 7, 7))(model, x, y, w)
    corner = (x + EPS * slope(model, y).sign()).clamp(0, 1)
    assert ((x + EPS * slope(model, y).sign() - corner).abs() > 0.01).any()  # the box does bind somewhere
    for found in loss.seen:
        assert torch.allclose(found, corner, atol=1e-6)


def test_pgd_in_l2_on_a_linear_model_follows_the_weights():
    model, loss, (x, y, w) = linear(), Loss(), batch(margin=0.45)
    OnAdversarial(loss, Climb(0.4, 0.1, 60, "l2"))(model, x, y, w)
    way = slope(model, y)
    best = x + 0.4 * way / way.flatten(1).norm(dim=1)[:, None, None, None]
    assert torch.allclose(loss.seen[0], best, atol=0.005)


def test_pgd_maximises_the_loss_of_wrong_samples_too():
    """Attacks that measure stop there; an image of another class at its border would teach little."""
    model, loss, (x, _, w) = linear(), Loss(), batch(margin=0.2)
    wrong = 1 - model(x).argmax(1)
    OnAdversarial(loss, Climb(EPS, 2.5 * EPS / 7, 7))(model, x, wrong, w)
    assert torch.allclose(loss.seen[0], x + EPS * slope(model, wrong).sign(), atol=1e-6)


def test_fast_is_one_step_of_five_quarters_from_a_uniform_start():
    model, loss, (x, y, w) = linear(), Loss(), batch(margin=0.2)
    objective, _ = objective_of("fast", loss)
    torch.manual_seed(5)
    objective(model, x, y, w)
    torch.manual_seed(5)
    start = EPS * (2 * torch.rand(x.shape) - 1)
    change = (start + 1.25 * EPS * slope(model, y).sign()).clamp(-EPS, EPS)
    assert (change.abs() < 0.99 * EPS).any()  # one step does not reach every corner
    assert torch.allclose(loss.seen[0], x + change, atol=1e-6)


def test_trades_climbs_to_a_corner_of_its_divergence():
    """Of two classes and a linear model KL grows with the margin's change, either way, so both corners are tops."""
    model, loss, (x, y, w) = linear(), Loss(), batch(count=24, margin=0.2)
    inputs = []
    hook = model.register_forward_hook(lambda module, args, output: inputs.append(args[0].detach().clone()))
    Trades(loss, Climb(EPS, 2.5 * EPS / 7, 7))(model, x, y, w)
    hook.remove()
    change, way = inputs[-1] - x, EPS * slope(model, y).sign()
    up = (change - way).abs().flatten(1).amax(1) < 1e-5
    down = (change + way).abs().flatten(1).amax(1) < 1e-5
    assert bool((up | down).all())
    assert bool(up.any())
    assert bool(down.any())


def test_the_loss_of_trades_and_its_gradient_are_the_papers():
    torch.manual_seed(0)
    model, (x, y, w) = convolutional(), batch(classes=4)
    model[3].p = 0.0  # else both passes would have to draw the same
    twin, inputs = copy.deepcopy(model), []
    hook = model.register_forward_hook(lambda module, args, output: inputs.append(args[0].detach().clone()))
    loss, right = Trades(Loss(0.1), Climb(EPS, 0.03, 3), beta=2.5)(model, x, y, w)
    hook.remove()
    loss.backward()
    assert torch.equal(inputs[-2], x)
    clean, moved = twin(x), twin(inputs[-1])
    p, q = clean.softmax(1), moved.softmax(1)
    apart = (p * (p / q).log()).sum(1)
    expected = naive_loss(clean, y, w, 0.1) + 2.5 * (apart * w).sum() / w.sum()
    expected.backward()
    assert apart.min() > 1e-6
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert int(right) == int((clean.argmax(1) == y).sum())
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)


@pytest.mark.parametrize("kind", ["pgd", "fast"])
def test_the_gradient_is_that_of_the_loss_on_the_images_found_and_of_nothing_else(kind):
    model, loss, (x, y, w) = convolutional(), Loss(0.1), batch(classes=4)
    twin, before = copy.deepcopy(model), x.clone()
    objective, _ = objective_of(kind, loss)
    value, _ = objective(model, x, y, w)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    state = torch.get_rng_state()
    value.backward()
    twin[3].p = 0.0
    model[3].p = 0.0
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)
    again, _ = objective(model, x, y, w)
    model.zero_grad()
    again.backward()
    # in the twin BatchNorm has other running statistics by now, which training mode does not look at
    naive_loss(twin(loss.seen[-1]), y, w, 0.1).backward()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-7)


def by_hand(model, batches, eps, replays, rate):
    """Algorithm 1 of Shafahi et al. 2019 with images in [0, 1]."""
    delta, deltas = 0.0, []
    for x, y, w in batches:
        for _ in range(replays):
            image = (x + delta).clamp(0, 1).requires_grad_()
            loss = naive_loss(model(image), y, w)
            *gradients, slope_of_pixels = torch.autograd.grad(loss, [*model.parameters(), image])
            with torch.no_grad():
                for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                    parameter.sub_(rate * gradient)
            delta = (delta + eps * slope_of_pixels.sign()).clamp(-eps, eps)
            deltas.append(image.detach() - x)
    return deltas


def test_free_is_the_papers_algorithm():
    model, loss = linear(3), Loss()
    twin, batches = copy.deepcopy(model), [batch(classes=3) for _ in range(3)]
    expected = by_hand(twin, batches, EPS, 4, 0.5)
    objective, order = objective_of("free", loss, replays=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for x, y, w in batches:
        for replay in range(4):
            # what comes in a replay has been augmented anew, and is not what the perturbation was made for
            pixels = x if replay == 0 else torch.rand_like(x)
            value, _ = objective(model, pixels, y, w)
            (3 * value).backward()  # a loss that is warmed up: the step has its own length
            for parameter in model.parameters():
                parameter.grad /= 3
            optimizer.step()
            optimizer.zero_grad()
    moved = [seen - x for seen, (x, _, _) in zip(loss.seen, [b for b in batches for _ in range(4)], strict=True)]
    assert all(torch.allclose(ours, theirs, atol=1e-6) for ours, theirs in zip(moved, expected, strict=True))
    assert not moved[0].any()
    assert moved[4].abs().mean() > EPS / 4  # carried over to the second batch
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    order.epoch = 1
    objective(model, *batches[0])
    assert torch.equal(loss.seen[-1], batches[0][0])


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step_size", [None, "3"])
def test_the_perturbation_never_leaves_the_ball_nor_the_box(kind, norm, step_size):
    model, (x, y, w), inputs = convolutional(), batch(classes=4), []
    x[0], x[1] = 0.0, 1.0
    objective, _ = objective_of(kind, Loss(), eps="1/20" if norm == "linf" else "0.7", norm=norm, step_size=step_size)
    model.register_forward_pre_hook(lambda module, args: inputs.append(args[0].detach().clone()))
    for _ in range(3):
        objective(model, x, y, w)[0].backward()
    budget = Attack("pgd", Fraction(1, 20) if norm == "linf" else Fraction("0.7"), norm=norm)
    for seen in inputs:
        check_budget(seen, x, budget)
    order = torch.inf if norm == "linf" else 2
    furthest = (inputs[-1] - x).flatten(1).norm(dim=1, p=order)
    assert bool((furthest[2:] > 0.5 * float(budget.eps)).all())


@pytest.mark.parametrize("kind", ["pgd", "trades", "fast"])
def test_the_attack_leaves_statistics_and_modes_alone_and_runs_in_eval_mode(kind):
    model, (x, y, w), passes = convolutional(), batch(classes=4), []
    model[1].eval()  # a frozen BatchNorm, as fine-tuning has it
    modes = [module.training for module in model.modules()]
    buffers = copy.deepcopy(dict(model.named_buffers()))
    model[3].register_forward_hook(lambda module, *_: passes.append(module.training))
    objective, _ = objective_of(kind, Loss(), **({} if kind == "fast" else {"steps": 3}))
    objective(model, x, y, w)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(buffers[name], buffer) for name, buffer in model.named_buffers())
    assert passes == {"pgd": 3 * [False] + [True], "trades": 4 * [False] + 2 * [True], "fast": [False, True]}[kind]
    model[1].train()
    objective(model, x, y, w)
    assert int(model[1].num_batches_tracked) == (2 if kind == "trades" else 1)


@pytest.mark.parametrize("kind", ["pgd", "fast", "free"])
@pytest.mark.parametrize(("share", "clean"), [(0.5, 4), (0.3, 2), (0.99, 7)])
def test_a_share_of_the_batch_stays_clean(kind, share, clean):
    model, loss, (x, y, w) = linear(), Loss(), batch(margin=0.2)
    objective, _ = objective_of(kind, loss, clean_share=share)
    for _ in range(2):
        objective(model, x, y, w)[0].backward()
    changed = (loss.seen[-1] != x).flatten(1).any(1).tolist()
    assert changed == clean * [False] + (8 - clean) * [True]


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_is_off_in_the_attack_and_on_in_the_training_pass(kind):
    model, (x, y, w), kinds = linear(), batch(), []
    model.register_forward_hook(lambda module, args, output: kinds.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(2):
            objective, _ = objective_of(kind, nn.CrossEntropyLoss(), **({"steps": 2} if kind == "pgd" else {}))
            objective.objective = _Plain()
            loss, _ = objective(model, x, y, w)
        loss.backward()
    half, passes = torch.bfloat16, {"pgd": 2, "trades": 8, "free": 0, "fast": 1}[kind]
    assert kinds == 2 * (passes * [torch.float32] + [half] * (2 if kind == "trades" else 1))


class _Plain(nn.Module):
    def forward(self, model, pixels, labels, weights):
        return functional.cross_entropy(model(pixels).float(), labels), torch.tensor(0)


def test_replays_show_each_batch_in_a_row_and_every_image_once_a_pass():
    order, batches, size = Replays(110, 3, 10, 4), [], 10
    for epoch in range(11):
        order.epoch = epoch
        rows = list(order)
        assert len(rows) == len(order) == 120  # 11 batches are nearest to 3 times 4
        blocks = [tuple(rows[i : i + size]) for i in range(0, len(rows), size)]
        for start in range(0, 12, 4):
            assert len({*blocks[start : start + 4]}) == 1
        batches += blocks[::4]
        assert rows == list(order)
    assert len(batches) == 33
    for start in range(0, 33, 11):
        assert sorted(chain.from_iterable(batches[start : start + 11])) == list(range(110))
    assert len({frozenset(rows) for rows in batches}) == 33  # shuffled anew in every pass
    assert all(a != b for a, b in pairwise(batches))
    other = Replays(110, 4, 10, 4)
    assert list(other) != list(Replays(110, 3, 10, 4))
    assert len(Replays(10, 0, 10, 4)) == 40
    with pytest.raises(FeatmaskError, match="at least one full batch of 10, got 9"):
        Replays(9, 0, 10, 4)


def test_processes_have_all_replays_of_their_own_part_of_a_batch():
    order = Replays(80, 0, 10, 4)
    alone = list(BatchSampler(order, 10, True))
    for process, part in ((0, slice(0, 5)), (1, slice(5, 10))):
        assert [[row for row, _ in batch] for batch in Shares(order, 10, process, 2)] == [rows[part] for rows in alone]


def fit(task, folder, *changes: str, seed: int = 0, method: str = "none"):
    recipe = recipe_of(*changes).under(method)
    model = make_model(recipe, task, seed)
    put_method(recipe, method, model, task)
    lesson = task.training_task(recipe, model, seed)
    return training.fit(model, lesson, recipe.train, seed=seed, folder=folder, device="cpu")


@pytest.mark.parametrize(("kind", "method"), [("pgd", "none"), ("trades", "lfm"), ("free", "none")])
def test_a_killed_run_ends_bit_for_bit_like_an_uninterrupted_one(few, tmp_path, killed_after_two_epochs, kind, method):
    changes = [f"train.adversarial.kind={kind}", "train.label_smoothing=0.1"]
    changes += ["train.adversarial.steps=1"] if kind in ("pgd", "trades") else []
    whole = fit(few, tmp_path / "whole", *changes, method=method).state_dict()
    with killed_after_two_epochs():
        fit(few, tmp_path / "killed", *changes, method=method)
    resumed = fit(few, tmp_path / "killed", *changes, method=method).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    logs = [read_epochs(tmp_path / name) for name in ("whole", "killed")]
    assert [{**line, "seconds": 0} for line in logs[0]] == [{**line, "seconds": 0} for line in logs[1]]


def test_a_method_trains_adversarially_with_its_mask_on_and_the_others_do_not(digits, tmp_path):
    recipe = recipe_of("train.epochs=1", "train.batch_size=600")
    model = make_model(recipe, digits, 0)
    put_method(recipe, "lfm_at", model, digits)
    (mask,) = (module for module in model.modules() if isinstance(module, LocalFeatureMasking))
    passes = []
    mask.register_forward_hook(lambda module, *_: passes.append(module.training))
    own = recipe.under("lfm_at")
    lesson = digits.training_task(own, model, 0)
    training.fit(model, lesson, own.train, seed=0, folder=tmp_path, device="cpu")
    assert passes[:8] == 2 * [False, False, False, True]
    climb = lesson.objective.climb
    assert (climb.eps, climb.steps, climb.norm) == (8 / 255, 3, "linf")
    assert climb.step_size == pytest.approx(2.5 * 8 / 255 / 3)
    for name in ("none", "lfm"):
        assert type(digits.training_task(recipe.under(name), model, 0).objective).__name__ == "_CrossEntropy"
    free = digits.training_task(recipe_of().under("free"), model, 0)
    assert isinstance(free.objective, Free)
    assert free.objective.order is free.order
    assert isinstance(free.loader(recipe_of().train), DataLoader)
    # the same number of steps an epoch as standard training, up to whole replays
    steps = [
        len(digits.training_task(recipe_of().under(name), model, 0).loader(recipe_of().train))
        for name in ("none", "free")
    ]
    assert abs(steps[0] - steps[1]) <= 2
    assert steps[1] % 4 == 0


def accuracy_under_attack(digits, folder, *changes):
    """Of four epochs of training, under PGD at 32/255."""
    model, images = fit(digits, folder, "train.epochs=4", "train.lr=0.2", *changes), digits.splits.test.head(150)
    x, y = (torch.stack([torch.as_tensor(sample[i]) for sample in images]) for i in (0, 1))
    attack = Attack("pgd", Fraction(32, 255), steps=10)
    with evaluating(model):
        found = attack.run(model, x, y, Stream(len(x), torch.Generator().manual_seed(0)))
        with torch.no_grad():
            return float((model(found).argmax(1) == y).float().mean())


@pytest.fixture(scope="module")
def undefended(digits, tmp_path_factory):
    return accuracy_under_attack(digits, tmp_path_factory.mktemp("none"))


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("trades", "free", "fast")]


@pytest.mark.parametrize("kind", ["pgd", *SLOW])
def test_it_makes_robust(digits, undefended, tmp_path, kind):
    """Seed 0: 11 % undefended; pgd 53 %, trades 65 %, free 39 %, fast 57 %. At least 20 points more are asked for."""
    changes = [f"train.adversarial={{kind: {kind}, eps: 32/255}}"]
    changes += ["train.adversarial.steps=2"] if kind in ("pgd", "trades") else []
    defended = accuracy_under_attack(digits, tmp_path, *changes)
    assert defended > undefended + 0.2, (undefended, defended)


def test_recipes_say_what_they_mean():
    settings = recipe_of("train.adversarial={}").train.adversarial
    assert settings.model_dump() == {
        "kind": "pgd", "eps": "8/255", "norm": "linf", "steps": 7, "step_size": None, "beta": 6.0, "replays": 4,
        "clean_share": 0.0,
    }  # fmt: skip
    assert recipe_of().train.adversarial is None
    assert recipe_of("train.adversarial={norm: l2, eps: 1.5, step_size: 2/3}").train.adversarial.eps == "1.5"
    settings = {"norm": "l2", "eps": "3/2", "step_size": "2/3", "steps": 5, "beta": 2.5}
    trades, _ = objective_of("trades", Loss(), **settings)
    assert (trades.beta, trades.climb) == (2.5, Climb(1.5, 2 / 3, 5, "l2"))
    # as a run's folder holds it, every key written out
    recipe = recipe_of("train.adversarial={kind: free, replays: 6}")
    assert parse_recipe(recipe.plain(), "here") == recipe


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{kind: madry}", "kind"),
        ("{eps: 8}", "pixels in"),
        ("{eps: -1/255}", "a size of 0 or more"),
        ("{step_size: 0}", "a size above 0, or null"),
        ("{norm: l1}", "norm"),
        ("{beta: 3}", "beta: a key of trades, which pgd does not have"),
        ("{kind: fast, steps: 3}", "steps: a key of pgd, trades, which fast does not have"),
        ("{kind: trades, clean_share: 0.5}", "clean_share"),
        ("{kind: free, replays: 1}", "replays"),
        ("{radius: 1}", "radius"),
    ],
)
def test_what_means_nothing_is_refused(value, says):
    with pytest.raises(FeatmaskError, match=says):
        recipe_of(f"train.adversarial={value}")


def test_free_needs_a_full_batch(digits):
    recipe = recipe_of("train.batch_size=5000", "train.adversarial={kind: free}")
    with pytest.raises(FeatmaskError, match="at least one full batch of 5000"):
        digits.training_task(recipe, make_model(recipe, digits, 0), 0)
