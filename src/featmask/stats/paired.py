"""A method beside its baseline over the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from ..errors import FeatmaskError
from .effects import Effect, detectable, effect_size, seeds_needed
from .intervals import Interval, finite, mean_interval, spread
from .pvalues import sign_flip, smallest_p, t_test

#: Fewer differences are too few to be drawn from.
BOOTSTRAP = 5


@dataclass(frozen=True)
class Paired:
    """A method's difference to the baseline over the same seeds.

    Attributes:
        n: pairs.
        interval: mean difference and its interval (Student's t); verdicts rest on this one.
        bootstrap: BCa bootstrap interval of the mean (Efron 1987), from five pairs up, beside it for whom wants it. It
            promises 95 % and covers less: 84 % of normal differences over 5 seeds, 90 % over 10, 92 % over 20
            (2,000 to 4,000 simulations each), and 80 % of exponential ones over 5.
        p: exact (or sampled) two-sided sign-flip permutation test.
        smallest_p: what ``p`` could reach at best with so many seeds.
        t_p: two-sided paired t test, below 0.05 where the 95 % interval leaves out zero; NaN for one pair.
        effect: the difference in standard deviations of the differences, and its interval; NaN where there is none.
        smallest: the smallest true mean difference that so many seeds find with power 0.8, if the differences scatter
            as they were seen to; NaN without a spread. Over 5 seeds that scatter is itself known within a factor of 3.
        needed: seeds that would find the observed difference with power 0.8; None beyond ``MOST_SEEDS`` or without a
            spread.
    """

    n: int
    interval: Interval
    bootstrap: tuple[float, float] | None
    p: float
    smallest_p: float
    t_p: float
    effect: Effect
    smallest: float
    needed: int | None


def paired_difference(
    method: Sequence[float], baseline: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> Paired:
    """Compare two methods over the same seeds, in the same order; FeatmaskError at unequal numbers of values, none, or
    values that are not finite.
    """
    if len(method) != len(baseline):
        raise FeatmaskError(f"paired values are needed, got {len(method)} and {len(baseline)}")
    difference = finite(np.asarray(method, dtype=np.float64) - np.asarray(baseline, dtype=np.float64))
    n, deviation, level = len(difference), spread(difference), 1 - confidence
    return Paired(
        n=n,
        interval=mean_interval(difference, confidence),
        bootstrap=_bca(difference, confidence, seed) if n >= BOOTSTRAP and deviation > 0 else None,
        p=sign_flip(difference, seed),
        smallest_p=smallest_p(n),
        t_p=t_test(difference),
        effect=effect_size(difference, confidence),
        smallest=detectable(n, level) * deviation if deviation > 0 else float("nan"),
        needed=seeds_needed(difference, level),
    )


def _bca(difference: npt.NDArray[np.float64], confidence: float, seed: int) -> tuple[float, float]:
    found = stats.bootstrap(
        (difference,), np.mean, confidence_level=confidence, method="BCa", rng=np.random.default_rng(seed)
    ).confidence_interval
    return float(found.low), float(found.high)
