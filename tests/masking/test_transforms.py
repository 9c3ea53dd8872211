"""Transforms and checkpointing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from featmask.errors import FeatmaskError
from featmask.functional import local_feature_masking, masked
from featmask.masking.options import Options
from featmask.masking.overwrite import overwrite
from oracles.plans import FILLS, SHAPE, plan_of


@pytest.mark.parametrize("in_dim", [0, 2, -1])
@pytest.mark.parametrize("fill", FILLS)
def test_vmap_with_the_same_randomness_is_a_loop_with_one_mask(fill, in_dim):
    x = torch.randn(3, *SHAPE)
    torch.manual_seed(12)
    mapped = torch.func.vmap(
        lambda x: local_feature_masking(x, p=1.0, fill=fill), in_dims=in_dim, out_dims=in_dim, randomness="same"
    )(x.movedim(0, in_dim))
    for i in range(3):
        torch.manual_seed(12)
        assert torch.equal(mapped.movedim(in_dim, 0)[i], local_feature_masking(x[i], p=1.0, fill=fill))


def test_inplace_inside_transforms_gives_a_copy():
    plan, x = plan_of(), torch.randn(3, *SHAPE)
    expected = torch.stack([overwrite(part, plan, "uniform") for part in x])
    before = x.clone()

    def f(x):
        return overwrite(x, plan, "uniform", inplace=True)

    assert torch.equal(torch.func.vmap(f)(x), expected)
    assert torch.equal(x, before)
    grads = torch.func.vmap(torch.func.grad(lambda x: f(x * x).sum()))(x)
    assert torch.equal(grads, (2 * x).masked_fill(plan.mask(), 0.0))


def test_vmap_says_what_to_do_with_other_randomness():
    x = torch.randn(3, *SHAPE)
    with pytest.raises(FeatmaskError, match='randomness="same"'):
        torch.func.vmap(local_feature_masking, randomness="different")(x)
    with pytest.raises(RuntimeError, match="randomness"):
        torch.func.vmap(lambda x: local_feature_masking(x, p=1.0))(x)


def test_func_grad_jvp_and_per_sample_gradients():
    plan, x = plan_of(), torch.randn(SHAPE)
    y = overwrite(leaf := x.clone().requires_grad_(), plan, "uniform")
    stack = torch.randn(5, *SHAPE)
    (grads,) = torch.autograd.grad(y, leaf, stack, is_grads_batched=True)
    assert torch.equal(grads, stack.masked_fill(plan.mask(), 0.0))
    keep = (~plan.mask()).float()
    for inplace in (False, True):  # asked for in place, a transform gets a copy

        def f(x, inplace=inplace):
            return overwrite(x * x, plan, "uniform", inplace=inplace)

        torch.testing.assert_close(torch.func.grad(lambda x: f(x).sum())(x), 2 * x * keep)
        tangent = torch.randn(SHAPE)
        torch.testing.assert_close(torch.func.jvp(f, (x,), (tangent,))[1], 2 * x * tangent * keep)
        _, pullback = torch.func.vjp(f, x)
        torch.testing.assert_close(pullback(tangent)[0], 2 * x * tangent * keep)
    weight = torch.randn(4, 1, 1)
    samples = torch.randn(5, 1, 4, 9, 7)

    def loss(weight, sample):
        return local_feature_masking(weight * sample, p=1.0).square().sum()

    torch.manual_seed(13)
    grads = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0), randomness="same")(weight, samples)
    for sample, grad in zip(samples, grads, strict=True):
        torch.manual_seed(13)
        torch.testing.assert_close(torch.func.grad(loss)(weight, sample), grad)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("inplace", [False, True])
def test_activation_checkpointing_recomputes_the_same_mask(use_reentrant, inplace):
    conv = nn.Conv2d(3, 4, 3)
    x = torch.randn(4, 3, 12, 12, requires_grad=True)

    def block(x):
        return local_feature_masking(conv(x), p=0.7, inplace=inplace).square()

    def gradients(run):
        torch.manual_seed(14)
        loss = run(x).sum()
        torch.rand(5)  # moves the generator on between forward and recomputation
        return torch.autograd.grad(loss, x) if not use_reentrant else (loss.backward(), x.grad.clone())[1:]

    expected = gradients(block)
    x.grad = None
    assert torch.equal(gradients(lambda x: checkpoint(block, x, use_reentrant=use_reentrant))[0], expected[0])


@pytest.mark.parametrize("fill", FILLS)
def test_backward_keeps_coordinates_only(fill):
    x = torch.randn(16, 32, 32, 32, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y, plan = masked(x, Options(p=1.0, fill=fill))
    assert kept == []
    assert y.grad_fn.plan is plan
    held = sum(value.nbytes for value in vars(plan).values() if isinstance(value, np.ndarray))
    assert held == 56 * len(plan) <= 16 * 16 * 56
