"""Gradients."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from featmask.masking.options import Options
from featmask.masking.overwrite import overwrite
from featmask.masking.traced import mask_traced
from oracles.plans import FILLS, SHAPE, bits, plan_of


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("fill", FILLS)
def test_gradient_is_zero_inside_and_untouched_outside(fill, inplace):
    x = torch.randn(SHAPE, requires_grad=True)
    plan = plan_of()
    y = overwrite(x * 1.0, plan, fill, inplace=inplace)
    incoming = torch.randn(SHAPE)
    incoming[:, :, 4] = torch.nan  # multiplying by a mask would leak it
    (grad,) = torch.autograd.grad(y, x, incoming)
    assert torch.equal(bits(grad), bits(incoming.masked_fill(plan.mask(), 0.0)))


@pytest.mark.parametrize("fill", FILLS)
def test_traced_gradient_is_zero_inside_and_untouched_outside(fill):
    x = torch.full(SHAPE, -1.0, requires_grad=True)
    torch.manual_seed(0)
    inside = (mask_traced(x, Options(p=1.0)) != x).detach()
    torch.manual_seed(0)
    incoming = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    incoming[:, :, 4] = torch.nan
    (grad,) = torch.autograd.grad(mask_traced(x, Options(p=1.0, fill=fill)), x, incoming)
    assert inside.any()
    assert torch.equal(bits(grad), bits(incoming.masked_fill(inside, 0.0)))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("fill", ["uniform", "zero", -1.5])
def test_derivatives_of_both_orders_and_both_directions(fill, inplace):
    shape = (2, 2, 4, 5)
    plan = plan_of(shape)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def f(x):
        return overwrite(x * x, plan, fill, inplace=inplace).sin()

    assert gradcheck(f, (x,), check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True)
    assert gradgradcheck(f, (x,), check_fwd_over_rev=True, check_rev_over_rev=True)


@pytest.mark.parametrize("inplace", [False, True])
def test_forward_derivative_leaves_the_callers_tangent_alone(inplace):
    plan, x = plan_of(), torch.randn(SHAPE)
    for tangent in (torch.randn(SHAPE), torch.ones(()).expand(SHAPE)):
        before = tangent.clone()
        with forward_ad.dual_level():
            y = overwrite(forward_ad.make_dual(x, tangent) + 1, plan, "uniform", inplace=inplace)
            moved = forward_ad.unpack_dual(y).tangent
            assert torch.equal(moved, before.masked_fill(plan.mask(), 0.0))
        assert torch.equal(tangent, before)


@pytest.mark.parametrize("inplace", [False, True])
def test_incoming_gradients_are_never_edited(inplace):
    kept = []
    plan = plan_of()
    x = torch.randn(SHAPE, requires_grad=True)
    y = overwrite(x * 2.0, plan, "uniform", inplace=inplace)
    y.register_hook(kept.append)
    incoming = torch.randn(SHAPE)
    before = incoming.clone()
    y.backward(incoming)
    assert torch.equal(incoming, before), "the caller's tensor"
    assert torch.equal(kept[0], before), "a hook's tensor"
    assert torch.equal(x.grad, 2 * before.masked_fill(plan.mask(), 0.0))


def test_residual_branch_keeps_its_gradient():
    plan = plan_of()
    x = torch.randn(SHAPE, requires_grad=True)
    h = x * 3.0
    (h + overwrite(h, plan, "zero")).sum().backward()
    assert torch.equal(x.grad, 3.0 + 3.0 * (~plan.mask()).float())
