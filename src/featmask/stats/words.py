"""What may be said: better, worse, no difference shown, and how much could have been shown."""

from __future__ import annotations

import math
from typing import Literal

from .intervals import Interval
from .paired import Paired

#: Fewer training seeds support no claim: with five, a sign-flip test cannot go below p = 1/16.
ENOUGH_SEEDS = 5
#: Percentage points that a table with one digit shows as a difference.
SHOWN = 0.05
LOWER_IS_BETTER = frozenset({"ece", "nll", "brier"})

Outcome = Literal["better", "worse", "no difference shown", "not enough seeds"]


def outcome_of(interval: Interval, n: int, unit: float = 100.0, lower_is_better: bool = False) -> Outcome:
    """The rule behind every verdict, given the interval of a paired difference over ``n`` seeds.

    Below five seeds no claim. From five seeds up, better or worse if the t interval leaves out zero and the difference
    is one that tables show (``SHOWN`` points or more: where a model is broken every time, thousandths of a point are
    steady and mean nothing), else no difference shown.

    It is a statement about training seeds on this test set; taken alone it errs in 5 % of the cases where there is no
    difference, so many verdicts need ``benjamini_hochberg`` beside them.

    Args:
        interval: of the difference, method minus baseline.
        n: seeds.
        unit: multiplies the difference where it is shown: 100 for percentage points, 1 for none.
        lower_is_better: for errors and losses.
    """
    if n < ENOUGH_SEEDS:
        return "not enough seeds"
    if interval.low <= 0 <= interval.high or (unit == 100.0 and abs(interval.mean) * unit < SHOWN):
        return "no difference shown"
    return "better" if (interval.mean > 0) != lower_is_better else "worse"


def could_show(paired: Paired, unit: float = 100.0) -> float:
    """The smallest difference that these seeds could have shown, times ``unit``; NaN where they support no claim.

    Found in four studies of five were it the true one, if differences scatter over seeds as they did here; not below
    what verdicts take for a difference.
    """
    if paired.n < ENOUGH_SEEDS:
        return float("nan")
    size = paired.smallest * unit
    return max(size, SHOWN) if unit == 100.0 and not math.isnan(size) else size
