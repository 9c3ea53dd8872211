"""Tests of no difference, and their correction for many."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

from ..errors import FeatmaskError
from .intervals import Values, finite, spread

#: Up to so many pairs every sign flip is tried; beyond that a sample of them.
EXACT_PAIRS = 16
FLIPS = 20_000


def t_test(differences: Values) -> float:
    """Two-sided paired t test of differences; NaN for one."""
    array = finite(differences)
    n, mean, deviation = len(array), float(array.mean()), spread(array)
    if n == 1:
        return float("nan")
    if deviation == 0:  # the statistic is 0 / 0 or infinite
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / deviation * np.sqrt(n), n - 1))


def sign_flip(differences: Values, seed: int = 0) -> float:
    """Two-sided sign-flip permutation test of the mean difference; exact up to 16 pairs, above by 20,000 flips.

    It assumes only that without a difference each sign is as likely as the other, and is then never below any level
    more often than that level says.
    """
    array = finite(differences)
    n = len(array)
    means = np.abs((_all_signs(n) if n <= EXACT_PAIRS else _some_signs(n, seed)) @ array)
    # sums of the same numbers in another order differ in their last bits
    return float(np.mean(means >= means[0] * (1 - 1e-12)))


def smallest_p(n: int) -> float:
    """What ``sign_flip`` can reach at best with ``n`` pairs: the observed signs and their mirror image, of 2^n."""
    return min(1.0, 2.0 ** (1 - n)) if n <= EXACT_PAIRS else 1 / FLIPS


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

    Both give 1 or 0 per sample, right or wrong, in the same order; FeatmaskError at unequal lengths.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape:
        raise FeatmaskError(f"McNemar's test needs the same samples, got {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for the false discovery rate (Benjamini and Hochberg 1995), in the given order.

    What is called a difference where the adjusted value is at most q is wrong in a share of at most q of the cases, on
    average, if the tests are independent or lean the same way, as differences to one baseline do.

    Raises:
        FeatmaskError: a value outside [0, 1].
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise FeatmaskError(f"expected p-values in [0, 1], got {list(p_values)}")
    return [float(p) for p in stats.false_discovery_control(p_values)] if len(p_values) else []
