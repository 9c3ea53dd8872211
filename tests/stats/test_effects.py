"""Effect sizes and detectable differences against closed forms, published examples and integration by hand."""

from __future__ import annotations

from math import gamma, sqrt

import numpy as np
import pytest
from scipy.stats import chi, norm, t

from featmask.errors import FeatmaskError
from featmask.stats import MOST_SEEDS, detectable, effect_size, paired_difference, power, seeds_needed

#: Extra sleep under the second drug, minus the first, of ten patients (Student 1908).
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


def below(value: float, df: int, shift: float) -> float:
    """The noncentral t distribution from its definition: a normal over a chi, the chi integrated over its quantiles."""
    scale = chi.ppf((np.arange(20_000) + 0.5) / 20_000, df) / sqrt(df)
    return float(norm.cdf(value * scale - shift).mean())


def with_effect(size: float, n: int) -> np.ndarray:
    """Differences whose mean is ``size`` times their standard deviation."""
    values = np.random.default_rng(n).normal(size=n)
    return size + (values - values.mean()) / values.std(ddof=1)


def test_a_published_example():
    """R's effectsize gives d = 1.28 [0.41, 2.12] for these data (its help page of cohens_d)."""
    effect = effect_size(SLEEP)
    assert np.mean(SLEEP) / np.std(SLEEP, ddof=1) == pytest.approx(1.28, abs=0.005)
    assert (effect.low, effect.high) == pytest.approx((0.41, 2.12), abs=0.005)
    # Hedges' factor from its definition, nine degrees of freedom
    factor = gamma(4.5) / (sqrt(4.5) * gamma(4))
    assert effect.size == pytest.approx(factor * np.mean(SLEEP) / np.std(SLEEP, ddof=1))
    turned = effect_size([-value for value in SLEEP])
    assert turned == pytest.approx((-effect.size, -effect.high, -effect.low))


@pytest.mark.parametrize(("n", "size"), [(3, 0.4), (5, 0.0), (5, 1.7), (5, -6.0), (20, 0.3), (100, 2.0), (5, 90.0)])
def test_the_interval_puts_what_was_seen_at_its_ends(n, size):
    effect = effect_size(with_effect(size, n))
    seen = size * sqrt(n)
    assert below(seen, n - 1, effect.low * sqrt(n)) == pytest.approx(0.975, abs=2e-4)
    assert below(seen, n - 1, effect.high * sqrt(n)) == pytest.approx(0.025, abs=2e-4)
    narrower = effect_size(with_effect(size, n), confidence=0.8)
    assert effect.low < narrower.low < narrower.high < effect.high


def test_effects_are_unbiased_and_their_intervals_cover():
    """2,000 studies of five seeds, true effect 0.9; bounds of 3.9 standard errors: 1 false alarm in 10,000."""
    found = [effect_size(values) for values in np.random.default_rng(1).normal(0.9, 1, (2000, 5))]
    sizes = np.array([effect.size for effect in found])
    error = sizes.std(ddof=1) / sqrt(2000)
    assert abs(sizes.mean() - 0.9) < 3.9 * error
    assert 0.9 / (gamma(2) / (sqrt(2) * gamma(1.5))) - 0.9 > 3.9 * error  # the uncorrected one would fail
    covered = np.mean([effect.low <= 0.9 <= effect.high for effect in found])
    assert abs(covered - 0.95) < 3.9 * sqrt(0.95 * 0.05 / 2000)


@pytest.mark.parametrize("differences", [[0.1], [0.1, 0.2], [0.1] * 5, [0.0] * 5, [0.3 + 0.1 - 0.3, 0.1, 0.1, 0.1]])
def test_no_effect_where_nothing_scatters(differences):
    assert np.isnan(effect_size(differences)).all()


def test_an_effect_beyond_all_bounds_has_no_interval():
    effect = effect_size([10, 10.0001, 10.0002, 10.0001, 10])
    assert effect.size > 1000
    assert np.isnan([effect.low, effect.high]).all()
    with pytest.raises(FeatmaskError, match="finite"):
        effect_size([0.1, float("nan")])


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
def test_the_detectable_difference_has_its_power(n):
    bound, shift = t.ppf(0.975, n - 1), detectable(n) * sqrt(n)
    assert 1 - below(bound, n - 1, shift) + below(-bound, n - 1, shift) == pytest.approx(0.8, abs=2e-4)
    assert power(detectable(n), n) == pytest.approx(0.8)
    assert power(0.0, n) == pytest.approx(0.05)
    assert detectable(n, level=0.01) > detectable(n) > detectable(n, wanted=0.5)
    assert np.isnan(detectable(1))


@pytest.mark.parametrize(("size", "pairs"), [(0.8, 15), (0.5, 34), (0.3, 90)])
def test_seeds_needed_are_those_of_the_textbooks(size, pairs):
    """Pairs for power 0.8 at two-sided 0.05, as G*Power and R's power.t.test give them."""
    for sign in (1, -1):
        assert seeds_needed(sign * with_effect(size, 8)) == pairs


def test_seeds_needed_have_an_end():
    assert power(0.28, MOST_SEEDS) < 0.8 < power(0.29, MOST_SEEDS)
    assert seeds_needed(with_effect(0.28, 8)) is None
    assert seeds_needed(with_effect(0.29, 8)) <= MOST_SEEDS
    assert seeds_needed(with_effect(50.0, 8)) == 2
    for none in ([0.1], [0.1] * 5, [1.0, -1.0]):
        assert seeds_needed(none) is None


def test_a_comparison_carries_all_of_it():
    method, baseline = np.random.default_rng(2).normal(0.8, 0.02, (2, 6))
    found, difference = paired_difference(method, baseline), method - baseline
    assert found.effect == effect_size(difference)
    assert found.smallest == pytest.approx(detectable(6) * difference.std(ddof=1))
    assert found.needed == seeds_needed(difference)
    assert paired_difference(method, baseline, confidence=0.99).smallest > found.smallest
