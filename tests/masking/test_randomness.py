"""Random numbers."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from featmask.functional import local_feature_masking, published_feature_masking
from featmask.masking import traced
from featmask.masking.options import Options
from featmask.masking.traced import mask_traced
from oracles.plans import FILLS, SHAPE


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


def test_noise_differs_between_ranks_in_the_graph_too(monkeypatch):
    options = Options(p=1.0, channels=1.0, area=(1e-6, 1e-6), fill="noise")
    x = torch.randn(1, 1, 512, 512)
    fields = []
    for rank in (0, 1):
        monkeypatch.setattr("featmask.masking.traced.rank", lambda rank=rank: rank)
        torch.manual_seed(7)
        uniform = traced._Uniform(x.device, None)
        fields.append(traced._value(x, options, uniform).flatten())
    # 512 * 512 independent values: a correlation beyond 4.5 / 512 has probability below 1e-5
    assert abs(torch.corrcoef(torch.stack(fields))[0, 1]) < 4.5 / 512
    for field in fields:  # standard normal around x's mean and deviation: skewness and kurtosis of a normal
        z = (field - x.mean()) / x.std()
        assert abs(z.mean()) < 4.5 / 512
        assert abs(z.var() - 1) < 4.5 * 2**0.5 / 512
        assert abs((z**4).mean() - 3) < 4.5 * 96**0.5 / 512
