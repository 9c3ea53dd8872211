"""Intervals and paired tests, and the words that they allow.

Variation over training seeds and sampling of the test set are two things: intervals over seeds speak of other seeds on
this test set, Wilson intervals and McNemar's test of other test sets for these models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from .errors import FeatmaskError

#: Fewer training seeds support no claim: with five, a sign-flip test cannot go below p = 1/16.
ENOUGH_SEEDS = 5
#: Percentage points that a table with one digit shows as a difference.
SHOWN = 0.05
#: Up to so many pairs every sign flip is tried; beyond that a sample of them.
EXACT_PAIRS = 16
FLIPS = 20_000
LOWER_IS_BETTER = frozenset({"ece", "nll", "brier"})

Outcome = Literal["better", "worse", "no difference shown", "not enough seeds"]


class Interval(NamedTuple):
    """A mean with its interval; low and high are NaN where one value allows none."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """A method's difference to the baseline over the same seeds.

    Attributes:
        n: pairs.
        interval: mean difference and its interval (Student's t).
        bootstrap: BCa bootstrap interval of the mean, from five pairs up.
        p: exact (or sampled) two-sided sign-flip permutation test.
        smallest_p: what ``p`` could reach at best with so many seeds.
        t_p: two-sided paired t test, below 0.05 where the 95 % interval leaves out zero; NaN for one pair.
    """

    n: int
    interval: Interval
    bootstrap: tuple[float, float] | None
    p: float
    smallest_p: float
    t_p: float


@dataclass(frozen=True)
class Verdict:
    """An outcome and one sentence that says it."""

    outcome: Outcome
    sentence: str


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Share of successes with Wilson's score interval (Wilson 1927).

    Raises:
        FeatmaskError: not 0 <= successes <= n with n > 0.
    """
    if not 0 <= successes <= n or n == 0:
        raise FeatmaskError(f"expected 0 <= successes <= n and n > 0, got {successes} of {n}")
    low, high = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Interval(successes / n, float(low), float(high))


def mean_interval(values: Sequence[float] | npt.NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """Mean with Student's t interval.

    Raises:
        FeatmaskError: no values, or values that are not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        raise FeatmaskError("the mean of no values is asked for")
    # NaN is neither above nor below zero: a verdict would take it for a difference
    if not np.isfinite(array).all():
        raise FeatmaskError(f"expected finite values, got {array.tolist()}; leave out what could not be measured")
    mean = float(array.mean())
    if len(array) == 1:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf((1 + confidence) / 2, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half)


def paired_difference(
    method: Sequence[float], baseline: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> Paired:
    """Compare two methods over the same seeds, in the same order.

    Raises:
        FeatmaskError: unequal numbers of values, none, or values that are not finite.
    """
    if len(method) != len(baseline):
        raise FeatmaskError(f"paired values are needed, got {len(method)} and {len(baseline)}")
    difference = np.asarray(method, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    n = len(difference)
    interval = mean_interval(difference, confidence)
    bootstrap = None
    if n >= ENOUGH_SEEDS and np.ptp(difference) > 0:
        found = stats.bootstrap(
            (difference,), np.mean, confidence_level=confidence, method="BCa", rng=np.random.default_rng(seed)
        ).confidence_interval
        bootstrap = (float(found.low), float(found.high))
    return Paired(n, interval, bootstrap, _sign_flip(difference, seed), min(1.0, 2.0 ** (1 - n)), _t_test(difference))


def _t_test(difference: npt.NDArray[np.float64]) -> float:
    n = len(difference)
    if n == 1:
        return float("nan")
    mean, error = float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(n))
    if error == 0:  # the statistic is 0 / 0 or infinite
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, n - 1))


def _sign_flip(difference: npt.NDArray[np.float64], seed: int) -> float:
    n = len(difference)
    means = np.abs((_all_signs(n) if n <= EXACT_PAIRS else _some_signs(n, seed)) @ difference)
    # sums of the same numbers in another order differ in their last bits
    return float(np.mean(means >= means[0] * (1 - 1e-12)))


@lru_cache(maxsize=4)
def _all_signs(n: int) -> npt.NDArray[np.float64]:
    """Each of the 2^n rows of signs, the observed one (no flip) first."""
    bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    return (1.0 - 2.0 * bits).astype(np.float64)


@lru_cache(maxsize=4)
def _some_signs(n: int, seed: int) -> npt.NDArray[np.float64]:
    signs = np.random.default_rng(seed).choice((1.0, -1.0), (FLIPS, n))
    signs[0] = 1.0  # the observed arrangement is one of them, which keeps the test valid
    return signs


def mcnemar(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Exact two-sided McNemar test: do two models err on different samples equally often?

    Args:
        first: 1 or 0 a sample, right or wrong.
        second: the same samples in the same order.

    Raises:
        FeatmaskError: unequal lengths.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape:
        raise FeatmaskError(f"McNemar's test needs the same samples, got {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for the false discovery rate (Benjamini and Hochberg 1995), in the given order.

    Raises:
        FeatmaskError: a value outside [0, 1].
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise FeatmaskError(f"expected p-values in [0, 1], got {list(p_values)}")
    return [float(p) for p in stats.false_discovery_control(p_values)] if len(p_values) else []


def verdict(
    metric: str, method: str, baseline: str, paired: Paired, unit: float = 100.0, lower_is_better: bool = False
) -> Verdict:
    """Say what the paired difference over seeds allows to say, and no more.

    The rule: below five seeds no claim. From five seeds up, better or worse if the t interval of the paired difference
    leaves out zero and the difference is one that tables show (``SHOWN`` points or more: where a model is broken every
    time, thousandths of a point are steady and mean nothing), else no difference shown. It is a statement about
    training seeds on this test set; taken alone it errs in 5 % of the cases where there is no difference, so many
    verdicts need ``benjamini_hochberg`` beside them.

    Args:
        metric: for the sentence.
        method: its name.
        baseline: the other's name.
        paired: the difference, method minus baseline.
        unit: multiplies the difference in the sentence: 100 for percentage points, 1 for none.
        lower_is_better: for errors and losses.
    """
    mean, low, high = (value * unit for value in paired.interval)
    points = " points" if unit == 100.0 else ""
    size = f"{mean:+.2f}{points} on {metric}"
    if paired.n < ENOUGH_SEEDS:
        seeds = f"{paired.n} seeds support" if paired.n > 1 else "1 seed supports"
        return Verdict(
            "not enough seeds",
            f"{method} against {baseline}: {size}, but {seeds} no claim ({ENOUGH_SEEDS} do).",
        )
    interval = f"{size}, 95 % interval {low:+.2f} to {high:+.2f} over {paired.n} seeds"
    if low <= 0 <= high or (unit == 100.0 and abs(mean) < SHOWN):
        return Verdict("no difference shown", f"{method} against {baseline}: no difference shown ({interval}).")
    better = (mean > 0) != lower_is_better
    outcome: Outcome = "better" if better else "worse"
    return Verdict(outcome, f"{method} is {outcome} than {baseline}: {interval}.")
