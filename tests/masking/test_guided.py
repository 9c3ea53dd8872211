"""Masks that lie where their planes are strongest, against a search that adds up every box by itself."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from featmask.errors import FeatmaskError
from featmask.functional import local_feature_masking, masked
from featmask.layers import LocalFeatureMasking, PublishedFeatureMasking
from featmask.masking import guided
from featmask.masking.guided import guide, strongest
from featmask.masking.options import DTYPES, Options
from featmask.masking.overwrite import overwrite, write_planes
from featmask.masking.traced import mask_traced
from oracles import naive
from oracles.plans import FILLS, SHAPE, bits, plan_of

GUIDED = Options(p=1.0, place="strongest")


def found_naively(plane: torch.Tensor, h: int, w: int) -> tuple[int, int]:
    """The first of the strongest places, each summed exactly, one after another."""
    values = [[abs(v) if math.isfinite(v) else 0.0 for v in row] for row in plane.tolist()]
    best, place = -1.0, (0, 0)
    for top in range(len(values) - h + 1):
        for left in range(len(values[0]) - w + 1):
            total = math.fsum(v for row in values[top : top + h] for v in row[left : left + w])
            if total > best:
                best, place = total, (top, left)
    return place


def planes(kind: str, count: int = 24, height: int = 7, width: int = 9) -> torch.Tensor:
    x = torch.randn(count, height, width)
    if kind == "whole numbers":  # sums are often equal
        x = x.round()
    elif kind == "sparse":
        x = x.clamp_min(1.2) - 1.2
    elif kind == "equal":  # sums in floating point would differ in their last bits
        x = x[:, :1, :1].expand(-1, height, width).clone()
    elif kind == "not finite":
        x.view(-1)[::7], x.view(-1)[1::11], x.view(-1)[2::13] = math.nan, math.inf, -math.inf
    elif kind == "large and small":
        x = x * 10.0 ** torch.linspace(-37, 37, count)[:, None, None]
    elif kind == "zero":
        x = x * 0
    return x


@pytest.mark.parametrize(
    "kind", ["normal", "whole numbers", "sparse", "equal", "not finite", "large and small", "zero"]
)
def test_the_strongest_place_of_every_plane(kind):
    x = planes(kind)
    for _ in range(4):
        h, w = torch.randint(1, 8, (len(x),)), torch.randint(1, 10, (len(x),))
        top, left = strongest(x, h, w)
        expected = [found_naively(*case) for case in zip(x, h.tolist(), w.tolist(), strict=True)]
        assert list(zip(top.tolist(), left.tolist(), strict=True)) == expected


def test_close_calls_are_decided_by_the_last_bit():
    size = torch.tensor([9]), torch.tensor([5])
    x = torch.full((1, 64, 64), 0.1)
    x[0, 40, 40] = torch.nextafter(torch.tensor(0.1), torch.tensor(1.0))
    assert [int(v) for v in strongest(x, *size)] == [32, 36]
    x = torch.ones(1, 64, 64, dtype=torch.float64)
    x[0, 40, 40] += 2.0**-46  # which a running sum of thousands in float64 would lose
    assert [int(v) for v in strongest(x, *size)] == [32, 36]
    x = torch.zeros(1, 64, 64)
    x[0, 20, 20], x[0, 25, 23] = 1.0, 2.0**-40
    assert [int(v) for v in strongest(x, *size)] == [17, 19]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("per", ["sample", "batch"])
def test_only_the_places_differ_from_a_random_mask(per, dtype, layout):
    x = torch.randn(5, 4, 12, 10).to(dtype).contiguous(memory_format=layout)
    options = replace(GUIDED, p=0.7, per=per)
    for seed in range(4):
        torch.manual_seed(seed)
        _, plain = masked(x, replace(options, place="random"))
        state = torch.get_rng_state()
        torch.manual_seed(seed)
        y, plan = masked(x, options)
        assert torch.equal(torch.get_rng_state(), state)
        assert plan.fraction() == plain.fraction()
        boxes = plain.boxes.tolist()
        moved = []
        for n, c, top, bottom, left, right in boxes:
            t, le = found_naively(x[n, c], bottom - top, right - left)
            moved.append((n, c, t, t + bottom - top, le, le + right - left))
        assert np.array_equal(plan.placed(), np.array(moved).reshape(-1, 6))
        steps = 2.0 ** {torch.float32: 24, torch.float64: 53, torch.float16: 11, torch.bfloat16: 8}[dtype]
        expected = naive.written(x, moved, [math.floor(u * steps) / steps for u in plan.uniform])
        assert torch.equal(bits(y), bits(expected))
        assert y.stride() == x.stride()


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("fill", FILLS)
def test_every_fill_is_written_there_and_its_gradient_is_zero(fill, inplace):
    layer = LocalFeatureMasking(1.0, fill=fill, place="strongest", inplace=inplace)
    x = torch.randn(SHAPE, requires_grad=True)
    torch.manual_seed(3)
    y = layer(x * 1.0)
    plan = plan_of(SHAPE, seed=3)
    mask = naive.written(torch.zeros(SHAPE), guide(x, plan).placed().tolist(), [1.0] * len(plan)) == 1
    assert torch.equal(layer.last_mask, mask)
    assert torch.equal(y != x, mask)
    assert layer.dropped_fraction == pytest.approx(mask.double().mean().item())
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(grad, (~mask).float())
    if fill == "mean":
        for n, c in {(n, c) for n, c, *_ in plan.boxes.tolist()}:
            torch.testing.assert_close(y[n, c][mask[n, c]].unique(), x[n, c].mean()[None])


def test_derivatives_of_both_orders():
    x = torch.randn(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)

    def f(x):
        torch.manual_seed(5)
        return local_feature_masking(x.square(), p=1.0, channels=1.0, place="strongest")

    assert torch.autograd.gradcheck(f, x)
    assert torch.autograd.gradgradcheck(f, x)


@pytest.mark.slow  # torch's forward mode takes seconds to get ready
def test_derivatives_in_forward_mode():
    x, tangent = torch.randn(2, *SHAPE)
    plan = guide(x, plan_of(SHAPE))
    expected = tangent.masked_fill(plan.mask(), 0.0)
    assert torch.equal(torch.func.jvp(lambda x: overwrite(x, plan, "uniform"), (x,), (tangent,))[1], expected)
    torch.manual_seed(0)
    mapped = torch.func.jvp(lambda x: local_feature_masking(x, p=1.0, place="strongest"), (x,), (tangent,))[1]
    assert torch.equal(mapped, expected)


def test_portions_change_nothing(monkeypatch):
    x = torch.randn(6, 5, 9, 8)
    plan = plan_of(x.shape, channels=1.0)
    whole = guide(x, plan).placed()
    monkeypatch.setattr(guided, "PORTION", {"cpu": 4 * 9 * 8})
    assert np.array_equal(guide(x, plan).placed(), whole)
    monkeypatch.setattr(guided, "PORTION", {"cpu": 1})
    assert np.array_equal(guide(x, plan).placed(), whole)


def test_the_devices_way_of_writing():
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(6, 4, 14, 9).contiguous(memory_format=layout)
        plan = guide(x, plan_of(x.shape))
        for fill in ("uniform", "zero", "mean", 2.5):
            out = x.clone()
            write_planes(out, plan, fill)
            assert torch.equal(bits(out), bits(overwrite(x, plan, fill)))
        write_planes(out := x.clone(), plan, "noise")
        assert torch.equal(out != x, plan.mask())


# --- inside a graph ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_traced_mask_lies_there_too(compiled):
    f = torch.compile(mask_traced, backend="aot_eager", fullgraph=True) if compiled else mask_traced
    for batch in (3,) if compiled else (3, 4):
        x = torch.randn(batch, 4, 11, 9, requires_grad=True)
        y = f(x, replace(GUIDED, fill=99.0))
        masks = (y == 99).flatten(0, 1)
        assert int(masks.flatten(1).any(1).sum()) == batch * 2, "half of the channels"
        for plane, mask in zip(x.detach().flatten(0, 1), masks, strict=True):
            if mask.any():
                top, bottom, left, right = naive.rectangle_of(mask)
                assert (top, left) == found_naively(plane, bottom - top, right - left)
        (grad,) = torch.autograd.grad(y.sum(), x)
        assert torch.equal(grad == 0, y == 99)


def test_a_traced_mask_drops_what_a_random_one_drops():
    for seed in range(5):
        shares = []
        for place in ("random", "strongest"):
            torch.manual_seed(seed)
            x = torch.randn(8, 6, 12, 12)
            shares.append((mask_traced(x, replace(GUIDED, p=0.6, fill=99.0, place=place)) == 99).sum().item())
        assert shares[0] == shares[1] > 0


@pytest.mark.slow  # the C++ compiler of inductor takes its time
@pytest.mark.usefixtures("fresh_compiler")
def test_inductor_finds_the_same():
    compiled = torch.compile(strongest, fullgraph=True)
    for count in (16, 5, 7):
        x = torch.randn(count, 11, 9)
        h, w = torch.randint(1, 12, (count,)), torch.randint(1, 10, (count,))
        for one, other in zip(compiled(x, h, w), strongest(x, h, w), strict=True):
            assert torch.equal(one, other)


# --- transforms and copies --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", FILLS)
def test_vmap_finds_places_for_each_part(fill):
    x = torch.randn(3, *SHAPE)

    def f(x):
        return local_feature_masking(x, p=1.0, fill=fill, place="strongest")

    torch.manual_seed(12)
    mapped = torch.func.vmap(f, in_dims=2, out_dims=1, randomness="same")(x.movedim(0, 2))
    for i in range(3):
        torch.manual_seed(12)
        assert torch.equal(mapped[:, i], f(x[i]))


def test_transforms_differentiate_what_eager_mode_does():
    layer = LocalFeatureMasking(1.0, place="strongest")
    weight, samples = torch.randn(4, 1, 1), torch.randn(3, *SHAPE)

    def loss(weight, sample):
        return layer(weight * sample).square().sum()

    torch.manual_seed(13)
    grads = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0), randomness="same")(weight, samples)
    assert layer.last_mask is None, "three masks, seen from outside"
    for sample, grad in zip(samples, grads, strict=True):
        leaf = weight.clone().requires_grad_()
        torch.manual_seed(13)
        (expected,) = torch.autograd.grad(loss(leaf, sample), leaf)
        torch.testing.assert_close(grad, expected)
        torch.manual_seed(13)
        torch.testing.assert_close(torch.func.grad(loss)(weight, sample), expected)
    stack = torch.randn(5, *SHAPE)
    y = layer(leaf := samples[0].clone().requires_grad_())
    (grads,) = torch.autograd.grad(y, leaf, stack, is_grads_batched=True)
    assert torch.equal(grads, stack.masked_fill(layer.last_mask, 0.0))


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing_finds_the_same_places(use_reentrant):
    conv = nn.Conv2d(3, 4, 3)
    x = torch.randn(4, 3, 12, 12, requires_grad=True)

    def block(x):
        return local_feature_masking(conv(x), p=0.7, place="strongest").square()

    torch.manual_seed(14)
    (expected,) = torch.autograd.grad(block(x).sum(), x)
    torch.manual_seed(14)
    checkpoint(block, x, use_reentrant=use_reentrant).sum().backward()
    assert torch.equal(x.grad, expected)


def test_the_layer_is_copied_and_shown_with_its_place():
    layer = LocalFeatureMasking(0.5, place="strongest")
    layer(torch.randn(SHAPE))
    for twin in (copy.deepcopy(layer), eval(repr(layer))):
        assert twin.options == layer.options
        assert twin.last_mask is None


def test_mistakes():
    with pytest.raises(FeatmaskError, match="place: expected 'random' or 'strongest'; got 'weakest'"):
        LocalFeatureMasking(place="weakest")
    with pytest.raises(TypeError):
        PublishedFeatureMasking(place="strongest")
    with pytest.raises(FeatmaskError, match="place: the authors' code"):
        Options(published=True, place="strongest")


# --- on a GPU ---------------------------------------------------------------------------------------------------------


@pytest.mark.cuda
@pytest.mark.parametrize("fill", FILLS)
def test_cuda_never_waits_and_the_mask_is_read_when_asked_for(cuda, fill):
    layer = LocalFeatureMasking(1.0, fill=fill, place="strongest")
    x = torch.randn(8, 16, 32, 32, device=cuda, requires_grad=True)
    layer(x * 1.0).sum().backward()  # allocates what later runs reuse
    torch.cuda.set_sync_debug_mode("error")
    y = layer(x * 1.0)
    y.sum().backward()
    masked(x * 1.0, replace(GUIDED, fill=fill), generator=torch.Generator(cuda))[0].sum().backward()
    assert layer.dropped_fraction > 0
    torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(layer.last_mask, (y != x).cpu())


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", DTYPES)
def test_cuda_equals_the_cpu_with_the_same_seed(cuda, dtype):
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(8, 16, 32, 24).to(dtype).contiguous(memory_format=layout)
        results = []
        for device in ("cpu", cuda):
            torch.manual_seed(1)
            results.append(masked(x.to(device), replace(GUIDED, p=0.8))[0].cpu())
        assert torch.equal(bits(results[0]), bits(results[1]))


@pytest.mark.cuda
def test_cuda_graphs_look_at_what_is_there(cuda):
    x = torch.randn(8, 16, 32, 32, device=cuda)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        mask_traced(x, GUIDED)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = masked(x, replace(GUIDED, fill=99.0))[0]
    for _ in range(2):
        x.copy_(torch.randn(x.shape))
        graph.replay()
        mask = (y == 99).cpu().flatten(0, 1)
        for plane, box in zip(x.cpu().flatten(0, 1)[:40], mask[:40], strict=True):
            if box.any():
                top, bottom, left, right = naive.rectangle_of(box)
                assert (top, left) == found_naively(plane, bottom - top, right - left)
