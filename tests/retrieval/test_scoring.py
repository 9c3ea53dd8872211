"""Scores against a double loop, against peers' stored output, and against figures counted by hand."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featmask.errors import FeatmaskError, FeatmaskWarning
from featmask.retrieval import counting, evaluate, keys, rank, scoring
from oracles import retrieval_naive as naive

GOLDEN = json.loads((Path(__file__).parents[1] / "oracles" / "retrieval_golden.json").read_text())


def problem(seed: int, queries: int, gallery: int, people: int = 6, cameras: int = 3, levels: int = 12):
    """Distances with many ties, junk (-1), distractors (0) and queries whose id the gallery may lack."""
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, levels, (queries, gallery)) / 8,
        rng.integers(1, people + 3, queries),
        rng.integers(0, cameras, queries),
        rng.integers(-1, people, gallery),
        rng.integers(0, cameras, gallery),
    )


def ours(case, **options):
    distances, qi, qc, gi, gc = case
    return evaluate(None, qi, qc, None, gi, gc, distances=distances, **options)


def theirs(case, junk: object = -1):
    distances, qi, qc, gi, gc = case
    return naive.score(
        distances.tolist(),
        list(zip(qi.tolist(), qc.tolist(), strict=True)),
        list(zip(gi.tolist(), gc.tolist(), strict=True)),
        junk,
    )


def same(scores, expected, form: str, places: int) -> None:
    """Every field equals what the double loop's per-query values give."""
    valid = [one for one in expected if one is not None]
    assert scores.num_valid == len(valid)
    for name, values in ((form, scores.average_precision), ("inp", scores.inp)):
        wanted = [np.nan if one is None else one[name] for one in expected]
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-9)
    assert scores.first_hit.tolist() == [-1 if one is None else one["first"] for one in expected]
    assert scores.mean_ap == pytest.approx(np.mean([one[form] for one in valid]), abs=1e-9)
    assert scores.mean_inp == pytest.approx(np.mean([one["inp"] for one in valid]), abs=1e-9)
    cmc = [np.mean([one["first"] <= k for one in valid]) for k in range(places)]
    np.testing.assert_allclose(scores.cmc, cmc, rtol=0, atol=1e-9)


def check(case, form: str = "standard") -> bool:
    """Compare, or see both refuse; True where there was something to compare."""
    expected = theirs(case)
    kept = int((case[3] != -1).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FeatmaskWarning)
        if not any(expected):
            with pytest.raises(FeatmaskError, match=r"no query has a match|every gallery item has the junk id"):
                ours(case, average_precision=form)
            return False
        same(ours(case, average_precision=form, max_rank=20), expected, form, min(20, kept))
    return True


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), queries=st.integers(1, 8), gallery=st.integers(1, 60), people=st.integers(1, 8),
    cameras=st.integers(1, 4), levels=st.integers(1, 40), form=st.sampled_from(["standard", "trapezoid"]),
)  # fmt: skip
def test_scores_equal_a_double_loop(seed, queries, gallery, people, cameras, levels, form):
    check(problem(seed, queries, gallery, people, cameras, levels), form)


def test_the_random_cases_are_not_empty():
    compared = [check(problem(seed, 5, 40, levels=1 + seed % 9)) for seed in range(40)]
    assert sum(compared) >= 35
    cases = [theirs(problem(seed, 5, 40)) for seed in range(40)]
    assert any(one is None for case in cases for one in case)


def test_many_right_items_are_ranked_by_sorting_with_the_same_ties(monkeypatch):
    case = problem(3, 4, 400, people=2, levels=30)
    monkeypatch.setattr(counting, "SORT_FROM", 1)
    assert check(case)
    assert check(case, "trapezoid")
    monkeypatch.setattr(counting, "_by_comparing", lambda *arguments: 0)
    distinct = (np.random.default_rng(0).random((4, 400)), *case[1:])
    assert check(distinct)  # without ties, sorting alone gives every rank


def test_tensors_on_a_device_take_the_same_ranks():
    case = problem(5, 9, 200)
    table = np.asarray(case[0], dtype=np.float32)
    rows, columns = np.repeat(np.arange(9), 30), np.tile(np.arange(0, 180, 6), 9)
    on_device = counting.ranks(torch.from_numpy(table), rows, columns)
    brute = [int((np.lexsort((np.arange(200), table[r])) == c).argmax()) for r, c in zip(rows, columns, strict=True)]
    assert on_device.tolist() == brute
    assert counting.ranks(table, rows, columns).tolist() == brute


def test_small_chunks_change_nothing(monkeypatch):
    case = problem(6, 50, 90)
    whole = ours(case)
    monkeypatch.setattr(keys, "CHUNK_BYTES", 1)
    monkeypatch.setattr(keys, "CHUNK_ROWS", 3)
    cut = ours(case)
    np.testing.assert_array_equal(whole.average_precision, cut.average_precision)
    np.testing.assert_array_equal(whole.first_hit, cut.first_hit)


@pytest.mark.parametrize("case", GOLDEN["scoring"], ids=lambda case: f"seed {case['seed']}")
def test_scores_equal_the_peers(case):
    rng = np.random.default_rng(case["seed"])
    q, g = case["queries"], case["gallery"]
    drawn = (
        rng.random((q, g)),
        rng.integers(1, 16, q),
        rng.integers(1, 4, q),
        rng.integers(-1, 14, g),
        rng.integers(1, 4, g),
    )
    scores = ours(drawn, max_rank=20)
    valid = scores.first_hit >= 0
    assert scores.mean_ap == pytest.approx(case["torchreid"]["mean_ap"], abs=1e-12)
    for peer in ("torchreid", "fast-reid"):  # float32 in theirs
        np.testing.assert_allclose(scores.cmc, case[peer]["cmc"], atol=1e-6)
    np.testing.assert_allclose(scores.average_precision[valid], case["fast-reid"]["average_precision"], atol=1e-12)
    np.testing.assert_allclose(scores.inp[valid], case["fast-reid"]["inp"], atol=1e-12)
    wanted = [np.nan if value is None else value for value in case["layumi"]["average_precision"]]
    trapezoid = ours(drawn, average_precision="trapezoid").average_precision
    np.testing.assert_allclose(trapezoid, wanted, atol=1e-12)


def test_one_query_counted_by_hand():
    """Ranked: wrong, own camera (dropped), right, junk (dropped), wrong, right: hits at places 2 and 4."""
    ids, cams = [9, 1, 1, -1, 0, 1], [1, 1, 2, 2, 2, 3]
    options = {"distances": np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])}
    scores = evaluate(None, [1], [1], None, ids, cams, **options)
    assert scores.mean_ap == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert scores.mean_inp == pytest.approx(2 / 4)
    assert scores.cmc.tolist() == [0, 1, 1, 1, 1]
    trapezoid = evaluate(None, [1], [1], None, ids, cams, average_precision="trapezoid", **options)
    assert trapezoid.mean_ap == pytest.approx(((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    without = evaluate(None, [1], None, None, ids, None, **options)
    assert without.mean_ap == pytest.approx((1 / 2 + 2 / 3 + 3 / 5) / 3)
    assert "no cameras" in str(without.rules["same_camera"])


def test_ties_stand_in_the_order_of_the_gallery():
    for place in range(4):
        ids = [2] * 4
        ids[place] = 1
        scores = evaluate(None, [1], [1], None, ids, [2] * 4, distances=np.zeros((1, 4)))
        assert scores.first_hit.tolist() == [place]


def features(seed: int, queries: int = 30, gallery: int = 200, length: int = 24):
    rng = np.random.default_rng(seed)
    people = rng.standard_normal((12, length))
    qi, gi = rng.integers(0, 12, queries), rng.integers(-1, 12, gallery)
    q = (people[qi] + rng.standard_normal((queries, length))).astype(np.float32)
    g = (people[gi] + rng.standard_normal((gallery, length))).astype(np.float32)
    return q, qi, rng.integers(0, 4, queries), g, gi, rng.integers(0, 4, gallery)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("device_path", [False, True])
def test_features_give_the_score_of_their_distances_in_double_precision(metric, device_path, monkeypatch):
    q, qi, qc, g, gi, gc = features(1)
    a, b = q.astype(np.float64), g.astype(np.float64)
    if metric == "cosine":
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    distances = np.sqrt(np.square(a[:, None] - b[None]).sum(2))
    gaps = np.diff(np.sort(distances, axis=1), axis=1)
    assert gaps.min() > 1e-7  # no two so near that float32 could change their places
    if device_path:
        monkeypatch.setattr(scoring, "pair", lambda one, two: (torch.from_numpy(one), torch.from_numpy(two)))
    scores = evaluate(q, qi, qc, g, gi, gc, metric=metric)
    same(scores, theirs((distances, qi, qc, gi, gc)), "standard", 50)


def test_kinds_of_input_give_one_score():
    q, qi, qc, g, gi, gc = features(2)
    first = evaluate(q, qi, qc, g, gi, gc)
    others = [
        evaluate(torch.from_numpy(q), torch.from_numpy(qi), qc.tolist(), torch.from_numpy(g), gi.tolist(), gc),
        evaluate(q.astype(np.float64), qi + 0.0, qc, np.asfortranarray(g), gi.astype(np.int32), gc.astype(np.uint8)),
        evaluate(q, [str(i) for i in qi], [f"c{c}" for c in qc], g, [str(i) for i in gi], [f"c{c}" for c in gc]),
    ]  # fmt: skip
    for other in others:
        np.testing.assert_array_equal(first.average_precision, other.average_precision)
    assert isinstance(first.mean_ap, float)


def test_the_rules_are_named_and_the_counts_are_right():
    case = problem(8, 12, 80)
    scores = ours(case)
    assert scores.rules["junk_removed"] == int((case[3] == -1).sum())
    assert scores.rules["gallery"] == int((case[3] != -1).sum())
    assert scores.rules["queries_without_match"] == sum(one is None for one in theirs(case))
    assert str(scores.rules["average_precision"]).startswith("standard")


def test_a_ranked_list_is_that_of_the_double_loop():
    for seed in range(10):
        case = problem(seed, 5, 40)
        found = rank(None, case[1], case[2], None, case[3], case[4], top=7, distances=case[0])
        gallery = list(zip(case[3].tolist(), case[4].tolist(), strict=True))
        for row in range(5):
            query = (int(case[1][row]), int(case[2][row]))
            wanted = naive.ranked(case[0][row].tolist(), query, gallery, -1)[:7]
            assert found.indices[row].tolist() == wanted
            assert found.distances[row].tolist() == case[0][row, wanted].tolist()
            assert found.right[row].tolist() == [gallery[item][0] == query[0] for item in wanted]


def test_a_short_ranked_list_is_filled_up_and_distances_are_those_of_the_metric():
    q, qi, qc, g, gi, gc = features(3, queries=2, gallery=6)
    found = rank(q, qi, qc, g, gi, gc, top=9)
    for row in range(2):
        left = found.indices[row] >= 0
        assert not left[-1]
        assert np.isnan(found.distances[row, ~left]).all()
        assert not found.right[row, ~left].any()
        apart = np.linalg.norm(g[found.indices[row, left]].astype(float) - q[row], axis=1)
        np.testing.assert_allclose(found.distances[row, left], apart, rtol=1e-12)
    cosine = rank(q, qi, qc, g, gi, gc, top=1, metric="cosine")
    one, other = q[0].astype(float), g[cosine.indices[0, 0]].astype(float)
    assert cosine.distances[0, 0] == pytest.approx(1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_forgotten_junk_is_warned_of():
    case = problem(1, 6, 60)
    for junk in (None, 0):
        with pytest.warns(FeatmaskWarning, match="junk"):
            kept = ours(case, junk_id=junk)
        same(kept, theirs(case, junk), "standard", min(50, int((case[3] != junk).sum())))


def test_one_camera_and_features_alike_are_warned_of():
    distances, qi, _, gi, _ = problem(1, 6, 60)
    with pytest.warns(FeatmaskWarning, match="one camera"), pytest.raises(FeatmaskError, match="cameras to keep them"):
        evaluate(None, qi, [3] * 6, None, gi, [3] * 60, distances=distances)
    q, qi, qc, g, gi, gc = features(4)
    with pytest.warns(FeatmaskWarning, match="alike"):
        evaluate(q, qi, qc, np.ones_like(g), gi, gc)


def mistakes():
    q, qi, qc, g, gi, gc = features(5)
    bad = g.copy()
    bad[7, 3] = np.nan
    yield "row 7", (q, qi, qc, bad, gi, gc), {}
    yield "too large", (q * np.float32(1e30), qi, qc, g, gi, gc), {}
    yield "one length", (q[:, :5], qi, qc, g, gi, gc), {}
    yield r"shape \(number, length\)", (q[0], qi, qc, g, gi, gc), {}
    yield r"shape \(number, length\)", (q[:0], qi[:0], qc[:0], g, gi, gc), {}
    yield "query_ids: expected one for each of the 30", (q, qi[1:], qc, g, gi, gc), {}
    yield "gallery_cams: expected one", (q, qi, qc, g, gi, gc[1:]), {}
    yield "one side only", (q, qi, None, g, gi, gc), {}
    yield "one kind", (q, [str(i) for i in qi], qc, g, gi, gc), {}
    yield "mixed", (q, [*qi[1:].tolist(), "1"], qc, g, gi, gc), {}
    yield "whole numbers", (q, qi + 0.5, qc, g, gi, gc), {}
    yield "euclidean, cosine", (q, qi, qc, g, gi, gc), {"metric": "dot"}
    yield "standard, trapezoid", (q, qi, qc, g, gi, gc), {"average_precision": "area"}
    yield "max_rank", (q, qi, qc, g, gi, gc), {"max_rank": 0}
    yield "none in common", (q, qi + 100, qc, g, gi, gc), {}
    yield "every gallery item", (q, qi, qc, g, [-1] * 200, gc), {}
    yield "or distances=", (None, qi, qc, g, gi, gc), {}
    yield "not a number", (None, qi, qc, None, gi, gc), {"distances": np.full((30, 200), np.nan)}
    yield "at least one query", (None, [], [], None, gi, gc), {"distances": np.zeros((0, 200))}
    yield r"shape \(queries, gallery\)", (None, qi, qc, None, gi, gc), {"distances": np.zeros(5)}


@pytest.mark.parametrize(
    ("message", "arguments", "options"), list(mistakes()), ids=lambda part: part if isinstance(part, str) else ""
)
def test_mistakes_are_told(message, arguments, options):
    with pytest.raises(FeatmaskError, match=message):
        evaluate(*arguments, **options)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_score_of_the_cpu():
    q, qi, qc, g, gi, gc = features(1)
    scores = evaluate(torch.from_numpy(q).cuda(), qi, qc, torch.from_numpy(g).cuda(), gi, gc)
    np.testing.assert_allclose(scores.average_precision, evaluate(q, qi, qc, g, gi, gc).average_precision, atol=1e-9)
