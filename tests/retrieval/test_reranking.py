"""Re-ranking against sets and dictionaries in double precision, and against torchreid's stored output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from featmask.errors import FeatmaskError
from featmask.retrieval import evaluate, keys, neighbours, rerank, reranking
from oracles import retrieval_naive as naive

GOLDEN = json.loads((Path(__file__).parents[1] / "oracles" / "retrieval_golden.json").read_text())


def features(seed: int, queries: int, gallery: int, people: int = 7, length: int = 10):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, length))
    return tuple(
        (centres[rng.integers(0, people, count)] + rng.standard_normal((count, length))).astype(np.float32)
        for count in (queries, gallery)
    )


# fmt: off
CASES = [(12, 70, 20, 6, 0.3), (6, 40, 8, 3, 0.3), (1, 50, 20, 6, 0.3), (9, 1, 5, 2, 0.5), (3, 4, 20, 6, 0.3),
         (10, 60, 7, 1, 0.0), (10, 60, 2, 12, 1.0), (1, 1, 20, 6, 0.3), (8, 60, 1, 1, 0.3), (14, 130, 25, 6, 0.1)]
# fmt: on


@pytest.mark.parametrize(("queries", "gallery", "k1", "k2", "share"), CASES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_definition(seed, queries, gallery, k1, k2, share):
    q, g = features(seed, queries, gallery)
    expected = naive.rerank(q.tolist(), g.tolist(), k1, k2, share)
    np.testing.assert_allclose(rerank(q, g, k1=k1, k2=k2, lambda_=share), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", GOLDEN["rerank"], ids=lambda case: f"seed {case['seed']}")
def test_equals_torchreid(case):
    rng = np.random.default_rng(case["seed"])
    c = rng.standard_normal((6, 8))
    q, g = (
        (c[rng.integers(0, 6, count)] + rng.standard_normal((count, 8))).astype(np.float32)
        for count in (case["queries"], case["gallery"])
    )
    result = rerank(q, g, k1=case["k1"], k2=case["k2"], lambda_=case["lambda_"])
    np.testing.assert_allclose(result, case["torchreid"], rtol=0, atol=1e-5)


def test_small_chunks_and_tensors_on_a_device_change_nothing(monkeypatch):
    q, g = features(3, 40, 900)
    whole = rerank(q, g)
    assert isinstance(whole, np.ndarray)
    assert whole.dtype == np.float32
    with monkeypatch.context() as patch:
        patch.setattr(keys, "CHUNK_BYTES", 1)
        patch.setattr(reranking, "MARK_ROWS", 7)
        patch.setattr(reranking, "WALK", 50)
        np.testing.assert_allclose(rerank(q, g), whole, rtol=0, atol=1e-6)
    came = rerank(torch.from_numpy(q), torch.from_numpy(g))
    assert torch.equal(came, torch.from_numpy(whole))
    monkeypatch.setattr(reranking, "pair", lambda one, two: (torch.from_numpy(one), torch.from_numpy(two)))
    on_device = rerank(q, g)
    assert isinstance(on_device, torch.Tensor)
    np.testing.assert_allclose(on_device.numpy(), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("columns", [30, 511, 512, 700, 1500])
def test_the_smallest_of_a_row_are_those_of_a_stable_sort(columns):
    values = np.random.default_rng(columns).integers(0, 90, (40, columns)).astype(np.float32)
    wanted = np.argsort(values, axis=1, kind="stable")[:, :21]
    np.testing.assert_array_equal(neighbours.smallest(values, 21), wanted)
    alike = np.zeros((3, columns), dtype=np.float32)
    np.testing.assert_array_equal(neighbours.smallest(alike, 21), np.tile(np.arange(21), (3, 1)))


@pytest.mark.parametrize("seed", range(8))
def test_ties_stand_in_the_order_of_the_items(seed):
    """Whole numbers in two dimensions: distances are exact, and most of them have equals."""
    rng = np.random.default_rng(seed)
    q, g = rng.integers(0, 4, (6, 2)).astype(np.float32), rng.integers(0, 4, (90, 2)).astype(np.float32)
    expected = naive.rerank(q.tolist(), g.tolist(), 5, 3, 0.3)
    np.testing.assert_allclose(rerank(q, g, k1=5, k2=3), expected, rtol=0, atol=1e-5)


def test_copies_of_one_image_and_large_features_stay_finite():
    q = np.full((2, 5), 3, dtype=np.float32)
    result = rerank(q, np.full((30, 5), 3, dtype=np.float32))
    assert np.isfinite(result).all()
    big, other = features(5, 5, 60)
    np.testing.assert_allclose(rerank(big * np.float32(1e12), other * np.float32(1e12)), rerank(big, other), atol=1e-4)


def test_it_helps_where_classes_have_structure():
    """Re-ranking is there to raise mAP; on clustered features it must, by much more than noise."""
    rng = np.random.default_rng(0)
    people = rng.standard_normal((40, 16))
    qi, gi = np.repeat(np.arange(40), 2), np.repeat(np.arange(40), 12)
    q = (people[qi] + 0.9 * rng.standard_normal((80, 16))).astype(np.float32)
    g = (people[gi] + 0.9 * rng.standard_normal((480, 16))).astype(np.float32)
    before = evaluate(q, qi, None, g, gi, None).mean_ap
    after = evaluate(None, qi, None, None, gi, None, distances=rerank(q, g)).mean_ap
    assert after > before + 0.02


@pytest.mark.parametrize("options", [{"k1": 0}, {"k2": 0}, {"lambda_": 1.1}, {"lambda_": -0.1}])
def test_numbers_out_of_range_are_told(options):
    with pytest.raises(FeatmaskError, match="k1 and k2 of at least 1"):
        rerank(*features(0, 3, 9), **options)


def test_features_that_do_not_fit_are_told():
    q, g = features(0, 3, 9)
    with pytest.raises(FeatmaskError, match="one length"):
        rerank(q[:, 1:], g)
    with pytest.raises(FeatmaskError, match="not finite"):
        rerank(q * np.nan, g)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_distances_of_the_cpu():
    q, g = features(3, 40, 900)
    result = rerank(torch.from_numpy(q).cuda(), torch.from_numpy(g).cuda())
    assert result.is_cuda
    np.testing.assert_allclose(result.cpu().numpy(), rerank(q, g), rtol=0, atol=1e-5)
