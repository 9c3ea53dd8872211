"""Statistics against closed forms and brute force; what they promise over many studies is in test_stats_rates."""

from __future__ import annotations

from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_rel

from featmask.errors import FeatmaskError
from featmask.stats import (
    SHOWN,
    benjamini_hochberg,
    could_show,
    mcnemar,
    mean_interval,
    outcome_of,
    paired_difference,
    wilson,
)


def outcome(paired, **options):
    return outcome_of(paired.interval, paired.n, **options)


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


def test_rounding_is_no_spread():
    """Five times the same difference, whose last bits differ: all that would be divided by it is left out."""
    base = [0.1, 0.35, 0.62, 0.84, 0.85]
    found = paired_difference([b + 0.1 for b in base], base)
    assert len({round(b + 0.1 - b, 17) for b in base}) > 1
    assert found.interval == pytest.approx((0.1, 0.1, 0.1))
    assert found.t_p == 0
    assert found.bootstrap is None
    assert np.isnan([*found.effect, found.smallest]).all()
    assert found.needed is None
    assert outcome(found) == "better"
    same = paired_difference(base, base)
    assert same.t_p == 1
    assert outcome(same) == "no difference shown"
    assert np.isnan(could_show(same))


def test_many_pairs_are_sampled_and_agree_with_the_exact_test():
    a = np.random.default_rng(1).normal(0.3, 1, 18)
    exact = np.mean([abs(np.dot(s, a)) >= abs(a.sum()) - 1e-12 for s in product((1, -1), repeat=18)])
    found = paired_difference(a, np.zeros(18))
    assert found.p == pytest.approx(exact, abs=4.5 * sqrt(exact / 20_000))
    # a sample of flips reaches no further down than its size
    assert found.smallest_p == paired_difference(np.arange(1, 19), np.zeros(18)).p == 1 / 20_000


def test_bootstrap_equals_its_definition():
    values = np.random.default_rng(3).normal(1, 1, 400)
    found = paired_difference(values, np.zeros(400))
    assert found.bootstrap == pytest.approx((found.interval.low, found.interval.high), abs=0.02)
    # skewed: BCa from its definition (Efron 1987), from resamples of our own; the plain percentiles lie elsewhere
    values = np.random.default_rng(9).exponential(size=12)
    means = np.random.default_rng(10).choice(values, (40_000, 12)).mean(1)
    left = np.array([np.delete(values, i).mean() for i in range(12)])
    bend = ((left.mean() - left) ** 3).sum() / (6 * ((left.mean() - left) ** 2).sum() ** 1.5)
    start = norm.ppf((means < values.mean()).mean())
    shifted = [start + norm.ppf(tail) for tail in (0.025, 0.975)]
    bca = np.quantile(means, [norm.cdf(start + shift / (1 - bend * shift)) for shift in shifted])
    assert paired_difference(values, np.zeros(12)).bootstrap == pytest.approx(tuple(bca), abs=0.02)
    assert abs(bca - np.quantile(means, [0.025, 0.975])).max() > 0.05
    assert paired_difference([1, 2], [0, 0]).bootstrap is None
    assert paired_difference([1] * 6, [0] * 6).bootstrap is None


def test_mcnemar_by_hand():
    # 8 samples only the first gets right, 2 only the second: two-sided exact binomial
    first = [1] * 8 + [0] * 2 + [1] * 50
    second = [0] * 8 + [1] * 2 + [1] * 50
    expected = 2 * sum(comb(10, k) for k in (0, 1, 2)) / 2**10
    assert mcnemar(first, second) == pytest.approx(expected)
    assert mcnemar([1, 0], [1, 0]) == 1
    for only_first, only_second in ((0, 3), (5, 4), (1, 9)):
        a = [1] * only_first + [0] * only_second
        assert mcnemar(a, 1 - np.array(a)) == pytest.approx(binomtest(only_first, len(a)).pvalue)
    with pytest.raises(FeatmaskError):
        mcnemar([1], [1, 0])


def test_benjamini_hochberg_by_hand():
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert benjamini_hochberg([]) == []
    p = np.random.default_rng(6).random(40) ** 2
    # by definition: the least over all larger p of p times tests, divided by its rank
    ordered = sorted(p)
    naive = [min(q * 40 / (ordered.index(q) + 1) for q in ordered if q >= one) for one in p]
    assert benjamini_hochberg(list(p)) == pytest.approx([min(1, value) for value in naive])
    with pytest.raises(FeatmaskError, match=r"\[0, 1\]"):
        benjamini_hochberg([0.1, float("nan")])


def test_words_for_what_could_have_been_shown():
    """1.682 standard deviations: what a paired t test over five seeds finds with power 0.8."""
    scattered = np.array([0.6, 0.4, 0.55, 0.45, 0.5]) - 0.5
    paired = paired_difference(0.5 + scattered, [0.5] * 5)
    assert could_show(paired) == pytest.approx(168.2 * scattered.std(ddof=1), rel=1e-3)
    assert could_show(paired, 1.0) == pytest.approx(1.682 * scattered.std(ddof=1), rel=1e-3)
    # so steady that less would be found, but verdicts take less than 0.05 points for none
    steady = paired_difference(0.5 + scattered / 10_000, [0.5] * 5)
    assert could_show(steady) == SHOWN
    assert could_show(steady, 1.0) == pytest.approx(1.682 * scattered.std(ddof=1) / 10_000, rel=1e-3)
    assert np.isnan(could_show(paired_difference([0.9, 0.8], [0.7, 0.7])))


def test_outcomes():
    base = [0.5] * 5
    better = paired_difference([0.52, 0.53, 0.52, 0.54, 0.53], base)
    assert outcome(better) == "better"
    assert outcome(better, lower_is_better=True) == "worse"
    unsure = paired_difference([0.6, 0.4, 0.55, 0.45, 0.5], base)
    assert outcome(unsure) == "no difference shown"
    steady = paired_difference([0.50041, 0.50042, 0.50041, 0.5004, 0.50041], base)  # far from zero, yet unseen
    assert steady.interval.low > 0
    assert outcome(steady) == "no difference shown"
    shown = paired_difference([0.50061, 0.50062, 0.50061, 0.5006, 0.50061], base)
    assert outcome(shown) == "better"
    assert outcome(paired_difference([0.9] * 4, [0.1] * 4)) == "not enough seeds"
    with pytest.raises(FeatmaskError, match="paired"):
        paired_difference([1], [1, 2])
