"""In place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from featmask.errors import FeatmaskError
from featmask.functional import local_feature_masking, masked
from featmask.masking.options import DTYPES, Options
from featmask.masking.overwrite import overwrite
from oracles.plans import FILLS, SHAPE, bits, plan_of


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fill", FILLS)
def test_inplace_equals_the_copy_and_keeps_the_tensor(fill, dtype):
    plan = plan_of()
    x = torch.randn(SHAPE).to(dtype)
    expected = overwrite(x, plan, fill)
    y = overwrite(x, plan, fill, inplace=True)
    assert y is x or y.data_ptr() == x.data_ptr()
    assert torch.equal(bits(x), bits(expected))


def test_inplace_after_a_convolution_gives_the_copys_gradients():
    results = []
    x = torch.randn(2, 3, 8, 8)
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    for inplace in (False, True):
        net.zero_grad()
        torch.manual_seed(2)
        y = local_feature_masking(net[0](x), p=1.0, inplace=inplace)
        y = local_feature_masking(net[1](y), p=1.0, inplace=inplace)
        net[2](y).square().sum().backward()
        results.append([p.grad.clone() for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_inplace_on_a_view_reaches_the_base():
    x = torch.randn(4, 2, 8, 16, requires_grad=True)
    y = x * 2
    part = y[1:3]
    torch.manual_seed(1)
    _, plan = masked(part, Options(p=1.0), inplace=True)
    y.square().sum().backward()
    expected = 8 * x.detach()
    expected[1:3].masked_fill_(plan.mask(), 0.0)
    assert torch.equal(x.grad, expected)


def test_inplace_is_refused_before_anything_is_written():
    plan = plan_of()
    leaf = torch.randn(SHAPE, requires_grad=True)
    base = torch.randn(6, 4, 9, 7, requires_grad=True)
    expanded = torch.randn(3, 1, 9, 7).expand(SHAPE)
    for x, word in ((leaf, "leaf"), (base[:3], "leaf"), (base.view(6, 4, 9, 7)[:3], "leaf"), (expanded, "expanded")):
        before = x.detach().clone()
        with pytest.raises(FeatmaskError, match=word):
            overwrite(x, plan, "zero", inplace=True)
        assert torch.equal(x, before)
        assert overwrite(x, plan, "zero").shape == SHAPE
    with torch.no_grad():  # as torch's own in-place operations allow
        overwrite(leaf, plan, "zero", inplace=True)


def test_inplace_is_refused_by_autograd_where_the_values_are_needed():
    plan = plan_of()
    x = torch.randn(SHAPE, requires_grad=True)
    for make in (torch.relu, torch.sigmoid, torch.exp):
        y = overwrite(make(x), plan, "zero", inplace=True)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()
    with pytest.raises(RuntimeError, match=r"multiple views|creation_meta"):
        overwrite((x * 1).chunk(3)[0], plan_of((1, 4, 9, 7)), "zero", inplace=True)


def test_inplace_tells_autograd_even_without_a_gradient_of_its_own():
    plan = plan_of()
    weight = torch.randn(SHAPE, requires_grad=True)
    x = torch.randn(SHAPE)
    product = weight * x  # keeps x
    version = x._version
    overwrite(x, plan, "zero", inplace=True)
    assert x._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()
    with torch.no_grad():
        version = x._version
        overwrite(x, plan, "zero", inplace=True)
        assert x._version > version
