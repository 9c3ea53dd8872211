"""A figure with the range that chance leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from ..errors import FeatmaskError

#: Values that differ by so small a part of themselves differ by rounding.
ROUNDING = 1e-9

Values = Sequence[float] | npt.NDArray[np.float64]


class Interval(NamedTuple):
    """A mean with its interval; low and high are NaN where one value allows none."""

    mean: float
    low: float
    high: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Share of successes with Wilson's score interval (Wilson 1927); FeatmaskError unless 0 <= successes <= n > 0."""
    if not 0 <= successes <= n or n == 0:
        raise FeatmaskError(f"expected 0 <= successes <= n and n > 0, got {successes} of {n}")
    low, high = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Interval(successes / n, float(low), float(high))


def mean_interval(values: Values, confidence: float = 0.95) -> Interval:
    """Mean with Student's t interval; raises as :func:`finite`."""
    array = finite(values)
    mean, n = float(array.mean()), len(array)
    if n == 1:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1) * spread(array) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def finite(values: Values) -> npt.NDArray[np.float64]:
    """The values as an array.

    Raises:
        FeatmaskError: no values, or values that are not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        raise FeatmaskError("the mean of no values is asked for")
    # NaN is neither above nor below zero: a verdict would take it for a difference
    if not np.isfinite(array).all():
        raise FeatmaskError(f"expected finite values, got {array.tolist()}; leave out what could not be measured")
    return array


def spread(values: npt.NDArray[np.float64]) -> float:
    """Standard deviation (n - 1); NaN for one value, 0 where values differ by rounding alone."""
    if len(values) == 1:
        return float("nan")
    # 0.91 - 0.81 and 0.92 - 0.82 differ in their last bits, and what is divided by that is nonsense
    if np.ptp(values) <= ROUNDING * np.abs(values).max():
        return 0.0
    return float(values.std(ddof=1))
