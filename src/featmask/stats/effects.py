"""How large a difference is beside its own scatter over seeds, and how large it had to be to be seen.

All of it rests on one fact: with a true mean difference of d standard deviations, the paired t statistic over n seeds
follows the noncentral t distribution with n - 1 degrees of freedom and noncentrality d sqrt(n), if the differences are
normally distributed.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from scipy import special, stats
from scipy.optimize import brentq

from .intervals import Values, finite, spread

#: What is meant by "could have shown": found in four studies of five.
POWER = 0.8
#: More seeds than these nobody trains: the number needed is not counted further.
MOST_SEEDS = 100
#: Beyond it the distribution cannot be computed, and a difference so steady has no use for an interval.
_LARGEST_T = 1000.0

_nan = float("nan")


class Effect(NamedTuple):
    """A difference in standard deviations of the paired differences; NaN where there is none to divide by."""

    size: float
    low: float
    high: float


def effect_size(differences: Values, confidence: float = 0.95) -> Effect:
    """The standardised mean of paired differences, d_z, corrected for few seeds.

    d_z is the mean difference divided by the standard deviation of the differences (Cohen 1988, section 2.3.5). Over
    few seeds it is too large on average, at five by a quarter; Hedges' factor (Hedges 1981) removes that: ``size`` is
    unbiased. The interval is that of the true d_z, by inverting the noncentral t distribution, which holds its level
    at every n if the differences are normal. Over five seeds it is wide.

    It says how steady a difference is over seeds, not how large: a tenth of a point can be three standard deviations.
    Hence no words like "large" are given for it: Cohen's bounds (0.2, 0.5, 0.8) are those of differences between
    people, where the standard deviation is a population's and not training's own chance.
    It is NaN for fewer than three differences or no spread.
    """
    array = finite(differences)
    n, deviation = len(array), spread(array)
    if n < 3 or deviation == 0:
        return Effect(_nan, _nan, _nan)
    raw = float(array.mean()) / deviation
    low, high = _noncentrality(abs(raw) * math.sqrt(n), n - 1, confidence)
    low, high = (low, high) if raw >= 0 else (-high, -low)
    return Effect(hedges_factor(n - 1) * raw, low / math.sqrt(n), high / math.sqrt(n))


def hedges_factor(df: int) -> float:
    """Hedges' exact correction, Gamma(df/2) / (sqrt(df/2) Gamma((df-1)/2)); 0.798 at five seeds."""
    return math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)


def power(size: float, n: int, level: float = 0.05) -> float:
    """How often a two-sided paired t test over ``n`` seeds finds a true difference of ``size`` standard deviations."""
    bound, shift = float(stats.t.ppf(1 - level / 2, n - 1)), abs(size) * math.sqrt(n)
    return 1 - _below(bound, n - 1, shift) + _below(-bound, n - 1, shift)


@lru_cache(maxsize=1024)
def detectable(n: int, level: float = 0.05, wanted: float = POWER) -> float:
    """The smallest true difference, in standard deviations, that ``n`` seeds find with the wanted power: 1.68 for five
    seeds, 1.00 for ten, NaN for one.
    """
    return _nan if n < 2 else _root(lambda size: power(size, n, level) - wanted, 0.0)


def seeds_needed(differences: Values, level: float = 0.05) -> int | None:
    """How many seeds would find the observed difference with power 0.8, were it and its spread the true ones; None
    where more than ``MOST_SEEDS`` would be needed, and where there is no spread.
    """
    array = finite(differences)
    deviation = spread(array)
    if not deviation > 0:
        return None
    size = abs(float(array.mean())) / deviation
    n = bisect_left(range(2, MOST_SEEDS + 1), True, key=lambda n: detectable(n, level) <= size) + 2
    return n if n <= MOST_SEEDS else None


def _noncentrality(t: float, df: int, confidence: float) -> tuple[float, float]:
    """The noncentralities that put ``t`` >= 0 at the upper and at the lower end of its range."""
    if t > _LARGEST_T:
        return _nan, _nan
    tail = (1 - confidence) / 2
    start = float(stats.norm.ppf(tail)) - 1.0  # left of the root even at t = 0
    low = _root(lambda shift: 1 - tail - _below(t, df, shift), start)
    return low, _root(lambda shift: tail - _below(t, df, shift), start)


def _below(t: float, df: int, shift: float) -> float:
    """The noncentral t distribution's share below ``t``; it falls as ``shift`` grows."""
    share = float(special.nctdtr(df, shift, t))
    # far out scipy gives up; there all of it lies on one side
    return float(shift <= t) if math.isnan(share) else share


def _root(increasing: Callable[[float], float], low: float) -> float:
    high, step = low + 1.0, 1.0
    while increasing(high) < 0:
        low, high, step = high, high + step, 2 * step
    return float(brentq(increasing, low, high, xtol=1e-10))
