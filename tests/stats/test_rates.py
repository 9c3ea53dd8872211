"""What the statistics promise over many studies, by simulation.

Every bound on a simulated rate is 3.9 standard errors wide: right code fails one of them once in 10,000 other seeds.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy.stats import binom, norm, ttest_1samp

from featmask.stats import (
    benjamini_hochberg,
    detectable,
    mcnemar,
    mean_interval,
    outcome_of,
    paired_difference,
    sign_flip,
    t_test,
    wilson,
)

WIDTH = 3.9


def near(rate: float, promised: float, times: int) -> bool:
    return abs(rate - promised) < WIDTH * sqrt(promised * (1 - promised) / times)


def not_above(rate: float, promised: float, times: int) -> bool:
    return rate < promised + WIDTH * sqrt(promised * (1 - promised) / times)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.83, 0.95])
def test_wilson_covers_as_often_as_it_says(share):
    """Exactly, by summing over every outcome of 656 samples; the interval is discrete, hence the margin."""
    n = 656
    covered = sum(
        binom.pmf(k, n, share) for k in range(n + 1) if (i := wilson(k, n)).low <= share <= i.high
    )  # fmt: skip
    assert covered == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_t_intervals_cover_as_often_as_they_say(n):
    intervals = [mean_interval(values) for values in np.random.default_rng(0).normal(3, 2, (4000, n))]
    assert near(np.mean([low <= 3 <= high for _, low, high in intervals]), 0.95, 4000)


def covered_by_bca(n: int, times: int) -> float:
    rng = np.random.default_rng(n)
    found = [
        paired_difference(values, np.zeros(n), seed=i).bootstrap for i, values in enumerate(rng.normal(size=(times, n)))
    ]
    return float(np.mean([low <= 0 <= high for low, high in found]))


def test_bca_covers_less_than_it_says():
    """84 % of normal differences over five seeds, as its docstring has it: why no verdict rests on it."""
    rate = covered_by_bca(5, 400)
    assert near(rate, 0.84, 400)
    assert not near(rate, 0.95, 400)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "promised"), [(5, 0.84), (10, 0.90), (20, 0.92)])
def test_bca_covers_what_its_docstring_says(n, promised):
    """The docstring's figures are rounded to a percent."""
    assert covered_by_bca(n, 3000) == pytest.approx(promised, abs=0.01 + WIDTH * sqrt(promised * (1 - promised) / 3000))


def test_false_alarms_of_the_t_test():
    p = [t_test(values) for values in np.random.default_rng(1).normal(size=(4000, 5))]
    for level in (0.01, 0.05, 0.2):
        assert near(np.mean(np.array(p) <= level), level, 4000)


@pytest.mark.parametrize(("n", "tails"), [(5, 2), (7, 2), (7, 30)])
def test_false_alarms_of_sign_flips(n, tails):
    """Symmetric differences of any shape, wild ones too: each level is kept, and every multiple of 2^(1-n) is met."""
    draws = np.random.default_rng(n + tails).standard_t(tails, (3000, n))
    p = np.array([sign_flip(values) for values in draws])
    for level in (0.01, 0.05, 1 / 16, 0.1, 0.25):
        reached = np.floor(level * 2 ** (n - 1)) / 2 ** (n - 1)
        assert np.isclose(reached, level) or reached < level
        assert near(np.mean(p <= level + 1e-9), reached, 3000) if reached else not (p <= level).any()


def test_sign_flips_keep_their_level_where_values_tie():
    """Differences of whole test images out of few: many are equal, some are zero."""
    draws = np.random.default_rng(8).integers(-2, 3, (3000, 7)).astype(float)
    p = np.array([sign_flip(values) for values in draws])
    for level in (0.05, 0.1, 0.25):
        assert not_above(np.mean(p <= level), level, 3000)
    assert (p <= 0.25).any()


def test_false_alarms_of_mcnemar():
    """Exactly, over every split of up to 40 samples on which two equal models disagree."""
    for level in (0.01, 0.05, 0.1):
        worst = 0.0
        for n in range(1, 41):
            split = [mcnemar([1] * k + [0] * (n - k), [0] * k + [1] * (n - k)) for k in range(n + 1)]
            rate = sum(binom.pmf(k, n, 0.5) for k, p in enumerate(split) if p <= level)
            assert rate <= level + 1e-12
            worst = max(worst, rate)
        assert worst > level / 2  # and it isn't kept by never speaking


def test_false_alarms_of_verdicts():
    """Two equal methods: accuracies of 656 test images at shares of their own for every seed, as runs have them."""
    rng, times = np.random.default_rng(2), 4000
    shares = np.clip(0.9 + rng.normal(0, 0.01, (times, 2, 5)), 0, 1)
    figures = rng.binomial(656, shares) / 656
    outcomes = [outcome_of(mean_interval(a - b), 5) for a, b in figures]
    rate = np.mean([outcome in ("better", "worse") for outcome in outcomes])
    assert not_above(rate, 0.05, times)
    assert rate > 0.035  # too silent would be wrong too
    assert near(outcomes.count("better") / (rate * times), 0.5, int(rate * times))


def test_no_verdict_on_what_no_table_shows():
    """Steady differences of hundredths of a point, each far from chance."""
    draws = np.random.default_rng(3).normal(0.0003, 0.00001, (200, 5))
    assert {outcome_of(mean_interval(values), 5) for values in draws} == {"no difference shown"}
    assert {outcome_of(mean_interval(values), 5, unit=1.0) for values in draws} == {"better"}


def test_correction_keeps_false_alarms_of_a_whole_table():
    """21 figures without any difference: a claim after correction in 5 % of 600 tables."""
    tables = np.random.default_rng(4).normal(0, 1, (600, 21, 5))
    p = ttest_1samp(tables, 0, axis=2).pvalue
    assert near(np.mean([min(benjamini_hochberg(list(row))) < 0.05 for row in p]), 0.05, 600)
    assert np.mean(p.min(1) < 0.05) > 0.5  # without it, more than half of such tables make a claim


def false_share(p: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Mean share of wrong claims among claims, its standard error, and the share of true differences found."""
    claims = np.array([benjamini_hochberg(list(row)) for row in p]) <= 0.05
    wrong = (claims & ~true).sum(1) / np.maximum(claims.sum(1), 1)
    return wrong.mean(), wrong.std() / sqrt(len(p)), claims[:, true].mean()


def test_wrong_claims_among_claims():
    """30 figures without and 10 with a difference, independent: the mean share is 0.05 * 30 / 40 exactly."""
    rng, true = np.random.default_rng(5), np.arange(40) >= 30
    p = 2 * norm.sf(np.abs(rng.normal(3.0 * true, 1.0, (3000, 40))))
    share, error, found = false_share(p, true)
    assert abs(share - 0.0375) < WIDTH * error
    assert found > 0.5


def test_wrong_claims_where_all_share_a_baseline():
    """Six methods and three figures against one baseline, over five seeds; a third of the differences is there."""
    rng, true = np.random.default_rng(6), np.arange(18) % 3 == 0
    baseline = rng.normal(size=(1500, 1, 5))
    differences = rng.normal(size=(1500, 18, 5)) + 5.0 * true[:, None] - np.repeat(baseline, 18, axis=1)
    share, error, found = false_share(ttest_1samp(differences, 0, axis=2).pvalue, true)
    assert share < 0.05 + WIDTH * error
    assert found > 0.5


@pytest.mark.parametrize("n", [5, 10])
def test_what_could_be_shown_is_shown_four_times_of_five(n):
    """A true difference of that size, twelve points wide in scatter: the verdict finds it with power 0.8."""
    draws = np.random.default_rng(7).normal(detectable(n), 1.0, (4000, n)) * 0.12
    found = [outcome_of(mean_interval(values), n) for values in draws]
    assert near(found.count("better") / 4000, 0.8, 4000)
