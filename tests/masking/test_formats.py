"""Dtypes, memory formats, shapes; when nothing happens."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from featmask.functional import local_feature_masking, masked, published_feature_masking
from featmask.masking.options import DTYPES, Options
from featmask.masking.overwrite import overwrite
from featmask.masking.traced import mask_traced
from oracles.plans import FILLS, SHAPE


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_is_kept(dtype, fill):
    x = torch.randn(SHAPE).to(dtype).requires_grad_()
    for y in (local_feature_masking(x, p=1.0, fill=fill), mask_traced(x, Options(p=1.0, fill=fill))):
        assert y.dtype == dtype
        assert torch.autograd.grad(y.float().sum(), x)[0].dtype == dtype


def test_dtype_under_autocast():
    conv = nn.Conv2d(3, 4, 3)
    for fill in FILLS:
        with torch.autocast("cpu", torch.bfloat16):
            y = conv(torch.randn(2, 3, 9, 9))
            z = local_feature_masking(y, p=1.0, fill=fill)
            assert y.dtype == z.dtype == mask_traced(y, Options(p=1.0, fill=fill)).dtype == torch.bfloat16
        z.sum().backward()
    assert conv.weight.grad.isfinite().all()


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("run", ["copy", "inplace", "traced", "compiled"])
def test_channels_last_is_kept(run, published):
    x = torch.randn(2, 6, 12, 10).contiguous(memory_format=torch.channels_last)
    options = Options(p=1.0, published=published)
    torch.manual_seed(1)
    if run in ("copy", "inplace"):
        y = masked(x.clone(), options, inplace=run == "inplace")[0]
    else:
        f = torch.compile(mask_traced, backend="aot_eager", fullgraph=True) if run == "compiled" else mask_traced
        y = f(x, options)
    assert y.stride() == x.stride()
    assert not torch.equal(x, y)
    torch.manual_seed(1)
    plain = x.contiguous()
    same = masked(plain, options)[0] if run in ("copy", "inplace") else mask_traced(plain, options)
    assert torch.equal(y, same), "the mask does not depend on the memory format"
    if run == "compiled":
        torch.compiler.reset()


@pytest.mark.parametrize("fill", FILLS)
def test_gradient_keeps_channels_last(fill):
    x = torch.randn(2, 6, 12, 10).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = local_feature_masking(x, p=1.0, fill=fill)
    (grad,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("fill", FILLS)
def test_strided_inputs(fill):
    base = torch.randn(6, 18, 8, 7)
    views = [base[::2, :, 1:5, ::2], base.transpose(1, 3), base.permute(3, 2, 1, 0), base[:1].expand(3, 18, 8, 7)]
    for x in views:
        torch.manual_seed(4)
        y, plan = masked(x, Options(p=1.0, fill=fill))
        torch.manual_seed(4)
        torch.testing.assert_close(y, masked(x.contiguous(), Options(p=1.0, fill=fill))[0])
        assert torch.equal(y[~plan.mask()], x[~plan.mask()])
        if x.stride(0):
            written = x.clone()  # in place into a strided view of something else
            holder = torch.zeros(*x.shape, 2)
            view = holder[..., 1]
            view.copy_(written)
            overwrite(view, plan, fill, inplace=True)
            torch.testing.assert_close(view, y)
            assert not holder[..., 0].any()


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize(
    "shape",
    [(0, 3, 8, 8), (2, 0, 8, 8), (2, 3, 0, 8), (2, 3, 8, 0), (2, 3, 1, 1), (2, 3, 2, 2), (2, 3, 1, 32), (1, 1, 7, 5)],
)
def test_odd_shapes(shape, published):
    x = torch.randn(shape, requires_grad=True)
    for options in (Options(p=1.0, published=published), Options(p=1.0, per="batch", channels=0.01, fill="mean")):
        for seed in range(5):
            torch.manual_seed(seed)
            y, plan = masked(x, options)
            assert y.shape == x.shape
            assert torch.equal((y != x), plan.mask())
            torch.autograd.grad(y.sum(), x)
            if x.numel():
                assert mask_traced(x, options).shape == x.shape


def test_a_map_of_one_pixel_is_left_alone():
    x = torch.randn(8, 3, 1, 1)
    assert local_feature_masking(x, p=1.0) is x
    assert torch.equal(mask_traced(x, Options(p=1.0)), x)


def test_the_input_itself_comes_back_where_nothing_is_drawn():
    x = torch.randn(SHAPE)
    for mask in (local_feature_masking, published_feature_masking):
        assert mask(x, p=1.0, training=False) is x
        assert mask(x, p=0.0) is x
        assert mask(x, p=0.0, inplace=True) is x
    torch.manual_seed(0)
    runs = [masked(x, Options(p=0.15)) for _ in range(30)]
    assert any(plan.fraction() == 0 for _, plan in runs)
    assert any(plan.fraction() > 0 for _, plan in runs)
    assert all((y is x) == (plan.fraction() == 0) for y, plan in runs)
