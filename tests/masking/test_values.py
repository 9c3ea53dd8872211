"""Values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featmask.functional import masked
from featmask.masking import traced
from featmask.masking.options import DTYPES, Options
from featmask.masking.overwrite import on_grid, overwrite, write_planes
from featmask.masking.plan import Plan
from featmask.masking.traced import mask_traced
from oracles import naive
from oracles.plans import FILLS, SHAPE, bits, plan_of


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
