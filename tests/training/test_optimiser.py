"""Optimisers and rates: one step worked out by hand for each rule."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from featmask.recipe import Train
from featmask.training.optimiser import loss_scale_at, make_optimizer, rate_at


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def step(settings: Train, scale=lambda _: 1.0) -> dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Value, gradient and displacement of every parameter in one step at the full rate."""
    model = small()
    optimizer = make_optimizer(model, settings, scale)
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    model(x).square().sum().backward()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * group["scale"]
    optimizer.step()
    return {name: (before[name], p.grad, p.detach() - before[name]) for name, p in model.named_parameters()}


@pytest.mark.parametrize("decay_all", [False, True])
def test_sgd_decays_matrices_and_vectors_only_if_asked(decay_all):
    rate, decay = 0.1, 0.3
    moved = step(Train(lr=rate, momentum=0, weight_decay=decay, decay_all=decay_all))
    assert {value.ndim for value, _, _ in moved.values()} == {1, 2}
    for value, gradient, change in moved.values():
        decayed = value.ndim > 1 or decay_all
        assert torch.allclose(change, -rate * (gradient + decayed * decay * value), atol=1e-6)


def test_momentum_is_nesterovs():
    """The first step of Nesterov's form: gradient and momentum times gradient."""
    for _, gradient, change in step(Train(lr=0.1, momentum=0.9, weight_decay=0)).values():
        assert torch.allclose(change, -0.1 * 1.9 * gradient, atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_decays_in_the_gradient_and_adamw_beside_it(name):
    rate, decay = 0.01, 5.0
    for value, gradient, change in step(Train(optimizer=name, lr=rate, weight_decay=decay)).values():
        own = decay * (value.ndim > 1)
        inside = gradient + own * value if name == "adam" else gradient
        # the first step divides a gradient by its own size
        expected = -rate * inside / (inside.abs() + 1e-8) - rate * (0 if name == "adam" else own) * value
        assert torch.allclose(change, expected, atol=1e-6)


def test_a_share_of_the_rate_by_name():
    settings = Train(lr=0.1, momentum=0, weight_decay=0.2)
    whole = step(settings)
    some = step(settings, lambda name: 0.25 if name.startswith("0.") else 0.0 if name == "2.bias" else 1.0)
    for name, (_, _, change) in some.items():
        share = 0.25 if name.startswith("0.") else 0.0 if name == "2.bias" else 1.0
        assert torch.allclose(change, share * whole[name][2], atol=1e-7)


def test_frozen_parameters_are_left_out():
    model = small()
    model[0].weight.requires_grad_(False)
    optimizer = make_optimizer(model, Train())
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    wanted = [parameter for parameter in model.parameters() if parameter is not model[0].weight]
    assert {id(parameter) for parameter in held} == {id(parameter) for parameter in wanted}
    assert len(held) == len(wanted)


RAMP = {"lr": 2.0, "epochs": 4, "warmup_start": 0.1}


@pytest.mark.parametrize("warmup", [{"warmup_steps": 8}, {"warmup_epochs": 0.8}])
def test_a_warm_up_in_steps_or_epochs_is_a_straight_line_from_its_start(warmup):
    """Ten steps per epoch; the line through start at step -1 and 1 at step 8."""
    rate = Train(**RAMP, **warmup, schedule="constant")
    loss = Train(**RAMP, **warmup, schedule="constant", warmup_of="loss")
    for done in range(12):
        share = min(1.0, 0.1 + 0.9 * (done + 1) / 9)
        assert rate_at(rate, done / 10, done, 10) == pytest.approx(2.0 * share)
        assert loss_scale_at(rate, done, 10) == 1
        assert rate_at(loss, done / 10, done, 10) == 2.0
        assert loss_scale_at(loss, done, 10) == pytest.approx(share)


def test_without_a_warm_up_nothing_is_scaled():
    for of in ("rate", "loss"):
        settings = Train(lr=0.3, schedule="constant", warmup_of=of, warmup_start=0.5)
        assert (rate_at(settings, 0.0, 0, 10), loss_scale_at(settings, 0, 10)) == (0.3, 1)


def test_the_cosine_starts_where_the_warm_up_ends_and_ends_at_zero():
    for of in ("rate", "loss"):
        settings = Train(lr=1.0, epochs=3, warmup_steps=10, warmup_of=of)
        assert rate_at(settings, 1.0, 10, 10) == pytest.approx(1.0)
        assert rate_at(settings, 2.0, 20, 10) == pytest.approx(0.5)
        assert rate_at(settings, 3.0, 30, 10) == pytest.approx(0.0)


@pytest.mark.parametrize("of", ["rate", "loss"])
def test_a_milestone_counts_whatever_is_warming_up(of):
    settings = Train(lr=1.0, epochs=9, schedule="steps", milestones=(1, 3), warmup_epochs=2, warmup_of=of)
    assert rate_at(settings, 2.0, 20, 10) == pytest.approx(0.1)
    assert rate_at(settings, 3.0, 30, 10) == pytest.approx(0.01)


def test_a_warm_up_that_is_longer_than_training_never_ends():
    settings = Train(lr=1.0, epochs=1, warmup_steps=30)
    assert rate_at(settings, 0.9, 9, 10) == pytest.approx(10 / 31)


def test_two_lengths_of_warm_up_are_refused():
    with pytest.raises(ValueError, match="not both"):
        Train(warmup_steps=3, warmup_epochs=1)
