"""What a mask does to values, gradients, memory and random numbers."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint

from featmask.errors import FeatmaskError
from featmask.functional import local_feature_masking, masked, published_feature_masking
from featmask.masking import traced
from featmask.masking.options import DTYPES, Options
from featmask.masking.overwrite import on_grid, overwrite, write_planes
from featmask.masking.plan import Plan, draw
from featmask.masking.traced import mask_traced
from oracles import naive

FILLS = ["uniform", "zero", "mean", "noise", 2.5]
SHAPE = (3, 4, 9, 7)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors of some KB gain nothing from a second thread, and wait for it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plan_of(shape=SHAPE, seed=0, **options) -> Plan:
    torch.manual_seed(seed)
    plan = draw(shape, Options(**{"p": 1.0, **options}))
    assert len(plan), "a test without a box shows nothing"
    return plan


def bits(x: torch.Tensor) -> torch.Tensor:
    """Values as integers, so that NaNs compare and -0.0 differs from 0.0."""
    return x.contiguous().view({8: torch.int64, 4: torch.int32, 2: torch.int16}[x.element_size()])


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("fill", FILLS)
def test_values_are_those_of_a_loop_over_the_boxes(fill, published):
    if published and fill != "uniform":
        pytest.skip("the published mode has one fill")
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plan = plan_of(published=published, channels=1.0)
    before = x.clone()
    y = overwrite(x, plan, fill)
    assert torch.equal(x, before), "the input is left alone"
    means = [x[n, c].mean().item() for n, c in plan.boxes[:, :2].tolist()]
    values = {"uniform": plan.uniform, "zero": [0.0] * len(plan), "mean": means, 2.5: [2.5] * len(plan)}.get(fill)
    if values is None:  # noise: its distribution is tested elsewhere; here that it stays inside and fills it
        inside = plan.mask()
        assert torch.equal(bits(y)[~inside], bits(x)[~inside])
        assert len(y[inside].unique()) == inside.sum()
    else:
        torch.testing.assert_close(y, naive.written(x, plan.boxes.tolist(), values), rtol=0, atol=1e-12)
        assert torch.equal(plan.mask(), naive.written(torch.zeros(SHAPE), plan.boxes.tolist(), [1.0] * len(plan)) == 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("path", ["slices", "planes", "traced"])
def test_uniform_fill_never_reaches_one(dtype, path, monkeypatch):
    box = np.array([[0, 0, 1, 3, 1, 3]])
    plan = Plan((1, 1, 4, 4), box, np.array([1 - 2.0**-53]), 0)  # the greatest draw there is
    x = torch.full((1, 1, 4, 4), -1.0, dtype=dtype)
    if path == "slices":
        value = overwrite(x, plan, "uniform")[0, 0, 1, 1]
    elif path == "planes":
        write_planes(x, plan, "uniform")
        value = x[0, 0, 1, 1]
    else:
        value = traced._on_grid(torch.tensor(1 - 2.0**-24), dtype)
    assert value.dtype == dtype
    assert value < 1
    assert value > 0.99, "rounded down to the next number, no further"


@pytest.mark.parametrize("dtype", DTYPES)
def test_on_grid_is_exact_and_keeps_the_distribution(dtype):
    draws = np.random.default_rng(0).random(20_000)
    rounded = on_grid(draws, dtype)
    assert (rounded <= draws).all()
    assert (draws - rounded < 2.0 ** -{torch.float64: 52, torch.float32: 23}.get(dtype, 7)).all()
    assert np.array_equal(torch.from_numpy(rounded).to(dtype).double().numpy(), rounded), "nothing left to round"


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("run", ["eager", "inplace", "traced"])
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
def test_poison_stays_outside_and_is_gone_inside(fill, run, poison):
    x = torch.randn(4, 4, 12, 12, generator=torch.Generator().manual_seed(2))
    x[:, :, ::2, ::3] = poison
    x[0] = poison  # whole planes: nothing finite to take a mean of
    torch.manual_seed(3)
    clean = torch.full_like(x, -7.0)
    options = Options(p=1.0, fill=fill)
    if run == "traced":
        inside = mask_traced(clean, Options(p=1.0)) != clean
        torch.manual_seed(3)
        y = mask_traced(x, options)
    else:
        y, plan = masked(x.clone(), options, inplace=run == "inplace")
        inside = plan.mask()
    assert inside.any()
    assert y[inside].isfinite().all()
    assert torch.equal(bits(y)[~inside], bits(x)[~inside])


@pytest.mark.parametrize("shape", [(2, 3, 9, 7), (1, 1, 5, 5), (3, 8, 16, 2)])
@pytest.mark.parametrize("published", [False, True])
def test_last_mask_is_what_changed(shape, published):
    x = torch.full(shape, -1.0)
    for seed in range(20):
        torch.manual_seed(seed)
        y, plan = masked(x, Options(p=0.7, published=published))
        assert torch.equal(plan.mask(), y != x)
        assert plan.fraction() == pytest.approx((y != x).double().mean().item(), abs=1e-12)


def test_overlaps_count_once():
    boxes = np.array([[0, 0, 0, 3, 0, 4], [0, 0, 2, 4, 0, 4], [0, 1, 1, 2, 0, 4]])
    plan = Plan((1, 2, 5, 4), boxes, np.array([0.25, 0.5, 0.75]), 0)
    assert plan.fraction() == (16 + 4) / 40
    y = overwrite(torch.full(plan.shape, -1.0), plan, "uniform")
    assert y[0, 0, :, 0].tolist() == [0.25, 0.25, 0.5, 0.5, -1.0], "the later draw wins"
    assert [turn.tolist() for turn in plan.rounds()] == [[0, 2], [1]]


# --- gradients --------------------------------------------------------------------------------------------------------


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


# --- in place ---------------------------------------------------------------------------------------------------------


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
    with pytest.raises(RuntimeError, match="multiple views"):
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


# --- dtypes, memory formats, shapes -----------------------------------------------------------------------------------


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


# --- when nothing happens ---------------------------------------------------------------------------------------------


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


# --- random numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [local_feature_masking, published_feature_masking])
def test_masks_repeat_from_the_seed(mask):
    x = torch.randn(8, 4, 12, 12)
    torch.manual_seed(5)
    first = [mask(x, p=0.5) for _ in range(4)]
    torch.manual_seed(5)
    assert all(torch.equal(a, mask(x, p=0.5)) for a in first)
    assert len({tuple(a.flatten().tolist()) for a in first}) > 1
    one = [mask(x, p=1.0, generator=torch.Generator().manual_seed(6)) for _ in range(2)]
    assert torch.equal(*one)
    assert not torch.equal(one[0], mask(x, p=1.0, generator=torch.Generator().manual_seed(7)))


@pytest.mark.parametrize("fill", FILLS)
def test_one_number_of_the_global_generator_and_none_of_others(fill):
    x = torch.randn(SHAPE)
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - its state is what is tested
    torch.manual_seed(8)
    torch.randint(2**63 - 1, ())
    after_one = torch.get_rng_state()
    torch.manual_seed(8)
    local_feature_masking(x, p=1.0, fill=fill)
    assert torch.equal(torch.get_rng_state(), after_one)
    local_feature_masking(x, p=1.0, fill=fill, generator=torch.Generator())
    local_feature_masking(x, p=1.0, fill=fill, training=False)
    local_feature_masking(x, p=0.0, fill=fill)
    assert torch.equal(torch.get_rng_state(), after_one)
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy_state, strict=True))  # noqa: NPY002


def test_ranks_of_a_job_draw_different_masks(monkeypatch):
    x = torch.full((8, 4, 12, 12), -1.0)
    outs = {}
    for rank in (0, 1, 2, 0):
        for module in ("plan", "traced"):
            monkeypatch.setattr(f"featmask.masking.{module}.rank", lambda rank=rank: rank)
        torch.manual_seed(9)
        host = local_feature_masking(x, p=1.0)
        torch.manual_seed(9)
        inside = mask_traced(x, Options(p=1.0))
        if rank in outs:
            assert torch.equal(outs[rank][0], host)
            assert torch.equal(outs[rank][1], inside)
        outs[rank] = host, inside
    for a, b in ((0, 1), (1, 2), (0, 2)):
        for one, other in zip(outs[a], outs[b], strict=True):
            assert not torch.equal(one, other)
            both = ((one >= 0) & (other >= 0)).double().mean()
            assert both < 0.5 * (one >= 0).double().mean(), "masks of two ranks overlap by chance only"


@pytest.mark.parametrize("rank", [1, 1000])
def test_mixing_in_the_rank_permutes_all_values_a_draw_can_take(rank):
    hit = torch.zeros(2**24, dtype=torch.bool)
    for part in torch.arange(2**24).split(2**20):
        mixed = traced._mixed(part * 2.0**-24, rank)
        assert mixed.dtype == torch.float32
        hit[(mixed * 2.0**24).long()] = True
    assert hit.all()


def test_ranks_are_decorrelated():
    # chi square of 16 x 16 cells, 28 pairs: a false alarm in less than one of 10,000 seeds over all of them
    draws = torch.rand(50_000, generator=torch.Generator().manual_seed(10))
    ranks = [draws, *(traced._mixed(draws, rank) for rank in range(1, 8))]
    for i, one in enumerate(ranks):
        for other in ranks[:i]:
            counts = torch.bincount((one * 16).long() * 16 + (other * 16).long(), minlength=256).double()
            expected = 50_000 / 256
            assert ((counts - expected) ** 2 / expected).sum() < 372  # chi2.isf(1e-4 / 28, 255) = 370.9


@pytest.mark.parametrize("fill", FILLS)
def test_another_default_device_changes_nothing(fill):
    x = torch.randn(SHAPE)
    torch.manual_seed(11)
    expected = local_feature_masking(x, p=1.0, fill=fill)
    torch.manual_seed(11)
    with torch.device("meta"):
        assert torch.equal(local_feature_masking(x, p=1.0, fill=fill), expected)


# --- transforms and checkpointing -------------------------------------------------------------------------------------


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


# --- the device's way of writing, on the CPU --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fill", ["uniform", "zero", "mean", 2.5])
@pytest.mark.parametrize("published", [False, True])
def test_planes_are_written_like_slices(fill, published, dtype):
    if published and fill == "mean":
        pytest.skip("the published mode has one fill, and no mean of what an earlier draw wrote")
    for seed in range(5):
        plan = plan_of((6, 4, 14, 9), seed, published=published, channels=1.0)
        if published:
            assert len(plan.rounds()) > 1, "draws overlap"
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(6, 4, 14, 9).to(dtype).contiguous(memory_format=layout)
            out = x.clone()
            write_planes(out, plan, fill)
            assert torch.equal(bits(out), bits(overwrite(x, plan, fill)))
            assert out.stride() == x.stride()


def test_planes_noise_has_the_planes_mean_and_deviation():
    plan = plan_of((30, 4, 24, 24), channels=1.0)
    scale = torch.tensor([0.1, 1.0, 7.0, 20.0])[None, :, None, None]
    x = torch.randn(30, 4, 24, 24) * scale + 3 * scale
    out = x.clone()
    write_planes(out, plan, "noise")
    assert torch.equal(out[~plan.mask()], x[~plan.mask()])
    mean, std = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True, correction=0)
    standard = ((out - mean) / std)[plan.mask()]
    bound = 3.9 / len(standard) ** 0.5  # two-sided 1e-4; the deviation's error is smaller by sqrt(2)
    assert abs(standard.mean()) < bound
    assert abs(standard.std() - 1) < bound
    again = x.clone()
    write_planes(again, plan, "noise")
    assert torch.equal(again, out)


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("p", -0.1),
        ("p", 1.5),
        ("p", float("nan")),
        ("p", "0.1"),
        ("p", True),
        ("p", None),
        ("channels", 0.0),
        ("channels", 1.1),
        ("channels", -1),
        ("area", 0.2),
        ("area", (0.4, 0.02)),
        ("area", (0.0, 0.4)),
        ("area", (0.1, 1.2)),
        ("area", (0.1, 0.2, 0.3)),
        ("area", (0.1, "0.2")),
        ("area", None),
        ("aspect", (0.0, 3.0)),
        ("aspect", (3.0, 0.3)),
        ("aspect", (0.3, float("inf"))),
        ("aspect", (0.3, float("nan"))),
        ("fill", "random"),
        ("fill", None),
        ("fill", True),
        ("fill", float("nan")),
        ("per", "channel"),
        ("first", 0),
        ("first", -3),
        ("first", 2.0),
        ("first", True),
    ],
)
def test_a_bad_option_is_named_with_what_was_expected_and_what_came(option, value):
    mask = published_feature_masking if option == "first" else local_feature_masking
    with pytest.raises(FeatmaskError) as caught:
        mask(torch.randn(SHAPE), **{option: value})
    message = str(caught.value)
    assert message.startswith(f"{option}: expected ")
    assert repr(value) in message


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.randn(3, 8, 8), ("4 dimensions", "got 3", "(3, 8, 8)")),
        (torch.randn(8), ("4 dimensions", "got 1")),
        (torch.randn(1, 2, 3, 8, 8), ("4 dimensions", "got 5")),
        (torch.ones(1, 2, 8, 8, dtype=torch.int64), ("float32", "int64")),
        (torch.ones(1, 2, 8, 8, dtype=torch.uint8), ("float32", "uint8")),
        (torch.ones(1, 2, 8, 8, dtype=torch.bool), ("float32", "bool")),
        (torch.ones(1, 2, 8, 8, dtype=torch.complex64), ("float32", "complex64")),
        (torch.ones(1, 2, 8, 8).to(torch.float8_e4m3fn), ("float32", "float8")),
        (np.ones((1, 2, 8, 8)), ("tensor", "ndarray")),
        ([1.0], ("tensor", "list")),
    ],
)
def test_a_bad_input_is_told(x, said):
    for mask in (local_feature_masking, published_feature_masking):
        with pytest.raises(FeatmaskError) as caught:
            mask(x)
        assert all(part in str(caught.value) for part in said)


# --- any shape, any options -------------------------------------------------------------------------------------------

options = st.builds(
    Options,
    p=st.floats(0.3, 1.0),
    channels=st.floats(0.01, 1.0),
    area=st.tuples(st.floats(0.001, 0.3), st.floats(0.3, 1.0)),
    aspect=st.tuples(st.floats(0.05, 1.0), st.floats(1.0, 20.0)),
    fill=st.sampled_from(FILLS),
    per=st.sampled_from(["sample", "batch"]),
)
shapes = st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(1, 20), st.integers(1, 20))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(shape=shapes, options=options, seed=st.integers(0, 2**32), dtype=st.sampled_from(DTYPES))
def test_any_described_mask(shape, options, seed, dtype):
    torch.manual_seed(seed)
    x = torch.randn(shape).to(dtype)
    y, plan = masked(x, options)
    n, c, height, width = shape
    sample, channel, top, bottom, left, right = plan.boxes.T
    assert ((sample >= 0) & (sample < n) & (channel >= 0) & (channel < c)).all()
    assert ((top >= 0) & (top < bottom) & (bottom <= height) & (left >= 0) & (left < right) & (right <= width)).all()
    assert ((bottom - top < height) & (right - left < width)).all()
    assert len(np.unique(plan.boxes[:, :2], axis=0)) == len(plan) <= n * options.count(c)
    inside = plan.mask()
    assert torch.equal(bits(y)[~inside], bits(x)[~inside])
    for s, ch, t, b, le, r in plan.boxes.tolist():
        assert naive.rectangle_of(inside[s, ch]) == (t, b, le, r)
    if options.fill == "uniform":
        assert ((y[inside] >= 0) & (y[inside] < 1)).all()
    assert y.dtype == dtype


@settings(max_examples=60, deadline=None, derandomize=True)
@given(shape=shapes, options=options, seed=st.integers(0, 2**32), first=st.integers(1, 5))
def test_any_published_or_traced_mask(shape, options, seed, first):
    torch.manual_seed(seed)
    x = torch.full(shape, -1.0)
    strip = Options(p=options.p, channels=options.channels, area=options.area, published=True, first=first)
    for y in (masked(x, strip)[0], mask_traced(x, strip)):
        rows = (y != x).any(3, keepdim=True)
        assert torch.equal(y != x, rows.expand(shape)), "full width"
        assert torch.equal(y, y[..., :1].expand(shape)), "one number a row"
        assert not rows[first:].any()
    if x.numel():
        inside = mask_traced(x, Options(p=options.p, channels=options.channels, area=options.area)) != x
        for plane in inside.flatten(0, 1):
            assert not plane.any() or naive.rectangle_of(plane) is not None


# --- on a GPU ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cuda():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    yield torch.device("cuda")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.cuda
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("published", [False, True])
def test_cuda_never_waits_for_the_device(cuda, fill, published, inplace):
    x = torch.randn(8, 16, 32, 32, device=cuda, requires_grad=True)
    generator = torch.Generator(cuda)
    options = Options(p=1.0, fill=fill, published=published)
    masked(x * 1.0, options)[0].sum().backward()  # allocates what later runs reuse
    torch.cuda.set_sync_debug_mode("error")
    masked(x * 1.0, options, inplace=inplace)[0].sum().backward()
    masked(x * 1.0, options, generator=generator)[0].sum().backward()


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fill", ["uniform", "zero", 2.5])
@pytest.mark.parametrize("published", [False, True])
def test_cuda_equals_the_cpu_with_the_same_seed(cuda, fill, published, dtype):
    x = torch.randn(8, 16, 32, 24).to(dtype)
    for layout in (torch.contiguous_format, torch.channels_last):
        x = x.contiguous(memory_format=layout)
        torch.manual_seed(1)
        expected = masked(x, Options(p=0.8, fill=fill, published=published))[0]
        torch.manual_seed(1)
        y = masked(x.to(cuda), Options(p=0.8, fill=fill, published=published))[0]
        assert torch.equal(bits(y.cpu()), bits(expected))
        assert y.stride() == expected.stride()


@pytest.mark.cuda
@pytest.mark.parametrize("published", [False, True])
def test_cuda_graphs_draw_fresh_masks(cuda, published):
    x = torch.full((8, 16, 32, 32), -1.0, device=cuda)
    options = Options(p=1.0, published=published)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        mask_traced(x, options)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = masked(x, options)[0]
    seen = []
    for _ in range(3):
        graph.replay()
        seen.append((y != x).cpu())
    assert all(mask.any() for mask in seen)
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


@pytest.mark.cuda
def test_a_generator_of_a_device_masks_tensors_of_that_device_only(cuda):
    x = torch.full((8, 4, 16, 16), -1.0, device=cuda)
    first, second = (local_feature_masking(x, p=1.0, generator=torch.Generator(cuda).manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    with pytest.raises(FeatmaskError, match="generator"):
        local_feature_masking(x.cpu(), p=1.0, generator=torch.Generator(cuda))
