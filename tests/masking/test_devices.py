"""The device's way of writing, on the CPU; on a GPU."""

from __future__ import annotations

import pytest
import torch

from featmask.errors import FeatmaskError
from featmask.functional import local_feature_masking, masked
from featmask.masking.options import DTYPES, Options
from featmask.masking.overwrite import overwrite, write_planes
from featmask.masking.traced import mask_traced
from oracles.plans import FILLS, bits, plan_of


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
