"""Statistics against closed forms, brute force and simulation with stated false-alarm rates."""

from __future__ import annotations

from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
from scipy.stats import binom, ttest_rel

from featmask.errors import FeatmaskError
from featmask.stats import benjamini_hochberg, mcnemar, mean_interval, paired_difference, verdict, wilson


def test_wilson_equals_its_formula():
    n, k, z = 50, 41, 1.959963984540054
    share = k / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    interval = wilson(k, n)
    assert interval == pytest.approx((share, centre - half, centre + half))
    assert wilson(0, 10).low == 0
    with pytest.raises(FeatmaskError):
        wilson(1, 0)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.83, 0.95])
def test_wilson_covers_as_often_as_it_says(share):
    """Exactly, by summing over every outcome of 656 samples; the interval is discrete, hence the margin."""
    n = 656
    covered = sum(
        binom.pmf(k, n, share) for k in range(n + 1) if (i := wilson(k, n)).low <= share <= i.high
    )  # fmt: skip
    assert covered == pytest.approx(0.95, abs=0.015)


def test_mean_interval_by_hand():
    # t with 2 degrees of freedom at 97.5 %: 4.302653; standard deviation of 1, 2, 3 is 1
    interval = mean_interval([1, 2, 3])
    assert interval == pytest.approx((2, 2 - 4.302653 / sqrt(3), 2 + 4.302653 / sqrt(3)))
    alone = mean_interval([0.7])
    assert alone.mean == 0.7
    assert np.isnan(alone.low)
    with pytest.raises(FeatmaskError, match="no values"):
        mean_interval([])
    # a verdict on NaN would be 'worse'
    with pytest.raises(FeatmaskError, match="finite"):
        mean_interval([0.5, float("nan")])
    with pytest.raises(FeatmaskError, match="finite"):
        paired_difference([float("inf")] * 5, [0.5] * 5)


def test_intervals_cover_as_often_as_they_say():
    """4,000 samples of five: 95 % intervals must cover 95 %; a binomial bound with false-alarm rate 1e-4."""
    rng = np.random.default_rng(0)
    intervals = [mean_interval(values) for values in rng.normal(3, 2, (4000, 5))]
    covered = sum(low <= 3 <= high for _, low, high in intervals)
    assert abs(covered - 3800) < 3.9 * sqrt(4000 * 0.95 * 0.05)


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_sign_flips_by_brute_force(n):
    a, b = np.random.default_rng(n).normal(size=(2, n)).round(2)
    observed = abs((a - b).mean())
    flips = [abs(np.mean(np.array(signs) * (a - b))) >= observed - 1e-12 for signs in product((1, -1), repeat=n)]
    found = paired_difference(a, b)
    assert found.p == pytest.approx(np.mean(flips))
    assert found.smallest_p == min(1, 2 / 2**n)
    assert found.p >= found.smallest_p - 1e-12


def test_paired_t_test_equals_scipys_and_agrees_with_the_interval():
    rng = np.random.default_rng(5)
    for a, b in rng.normal(0.4, 1, (50, 2, 6)):
        found = paired_difference(a, b)
        assert found.t_p == pytest.approx(ttest_rel(a, b).pvalue)
        assert (found.t_p < 0.05) == (not found.interval.low <= 0 <= found.interval.high)
    assert np.isnan(paired_difference([1], [0]).t_p)
    assert paired_difference([1, 1, 1], [1, 1, 1]).t_p == 1
    assert paired_difference([2, 2, 2], [1, 1, 1]).t_p == 0


def test_many_pairs_are_sampled_and_agree_with_the_exact_test():
    a = np.random.default_rng(1).normal(0.3, 1, 18)
    exact = np.mean([abs(np.dot(s, a)) >= abs(a.sum()) - 1e-12 for s in product((1, -1), repeat=18)])
    assert paired_difference(a, np.zeros(18)).p == pytest.approx(exact, abs=4.5 * sqrt(exact / 20_000))


def test_false_alarms_of_the_verdict():
    """No difference, five seeds: a claim in 5 % of 3,000 studies; false-alarm rate of this test 1e-4."""
    rng = np.random.default_rng(2)
    said = 0
    for a, b in rng.normal(0, 1, (3000, 2, 5)):
        low, high = mean_interval(a - b)[1:]
        said += not low <= 0 <= high
    assert abs(said - 150) < 3.9 * sqrt(3000 * 0.05 * 0.95)
    # and the verdict is that rule
    for a, b in rng.normal(0, 1, (40, 2, 5)):
        paired = paired_difference(a, b)
        outcome = verdict("accuracy", "lfm", "none", paired).outcome
        outside = not paired.interval.low <= 0 <= paired.interval.high
        assert (outcome in ("better", "worse")) == outside


def test_correction_keeps_false_alarms_of_a_whole_table():
    """21 figures without any difference: a claim after correction in 5 % of 600 tables; false-alarm rate 1e-4."""
    rng = np.random.default_rng(4)
    alone = corrected = 0
    for table in rng.normal(0, 1, (600, 21, 5)):
        p = [2 * _t_tail(row) for row in table]
        alone += min(p) < 0.05
        corrected += min(benjamini_hochberg(p)) < 0.05
    assert abs(corrected - 30) < 3.9 * sqrt(600 * 0.05 * 0.95)
    assert alone > 300  # without it, more than half of such tables make a claim


def _t_tail(values: np.ndarray) -> float:
    from scipy.stats import t

    return float(t.sf(abs(values.mean()) / (values.std(ddof=1) / sqrt(len(values))), len(values) - 1))


def test_bootstrap_is_near_the_normal_interval_for_many_pairs():
    values = np.random.default_rng(3).normal(1, 1, 400)
    found = paired_difference(values, np.zeros(400))
    assert found.bootstrap == pytest.approx((found.interval.low, found.interval.high), abs=0.02)
    assert paired_difference([1, 2], [0, 0]).bootstrap is None
    assert paired_difference([1] * 6, [0] * 6).bootstrap is None


def test_mcnemar_by_hand():
    # 8 samples only the first gets right, 2 only the second: two-sided exact binomial
    first = [1] * 8 + [0] * 2 + [1] * 50
    second = [0] * 8 + [1] * 2 + [1] * 50
    expected = 2 * sum(comb(10, k) for k in (0, 1, 2)) / 2**10
    assert mcnemar(first, second) == pytest.approx(expected)
    assert mcnemar([1, 0], [1, 0]) == 1
    with pytest.raises(FeatmaskError):
        mcnemar([1], [1, 0])


def test_benjamini_hochberg_by_hand():
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert benjamini_hochberg([]) == []
    with pytest.raises(FeatmaskError, match=r"\[0, 1\]"):
        benjamini_hochberg([0.1, float("nan")])


def test_words():
    base = [0.5] * 5
    better = paired_difference([0.52, 0.53, 0.52, 0.54, 0.53], base)
    assert verdict("accuracy", "lfm", "none", better).outcome == "better"
    assert verdict("ece", "lfm", "none", better, lower_is_better=True).outcome == "worse"
    assert "+2.80 points" in verdict("accuracy", "lfm", "none", better).sentence
    unsure = paired_difference([0.6, 0.4, 0.55, 0.45, 0.5], base)
    assert verdict("accuracy", "lfm", "none", unsure).outcome == "no difference shown"
    steady = paired_difference([0.50041, 0.50042, 0.50041, 0.5004, 0.50041], base)  # far from zero, yet unseen
    assert steady.interval.low > 0
    assert verdict("accuracy", "lfm", "none", steady).outcome == "no difference shown"
    shown = paired_difference([0.50061, 0.50062, 0.50061, 0.5006, 0.50061], base)
    assert verdict("accuracy", "lfm", "none", shown).outcome == "better"
    few = verdict("accuracy", "lfm", "none", paired_difference([0.9] * 4, [0.1] * 4))
    assert few.outcome == "not enough seeds"
    assert "no claim" in few.sentence
    with pytest.raises(FeatmaskError, match="paired"):
        paired_difference([1], [1, 2])
