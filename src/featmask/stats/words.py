"""What may be said: better, worse, no difference shown, and how much could have been shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .intervals import Interval
from .paired import Paired

#: Fewer training seeds support no claim: with five, a sign-flip test cannot go below p = 1/16.
ENOUGH_SEEDS = 5
#: Percentage points that a table with one digit shows as a difference.
SHOWN = 0.05
LOWER_IS_BETTER = frozenset({"ece", "nll", "brier"})

Outcome = Literal["better", "worse", "no difference shown", "not enough seeds"]


@dataclass(frozen=True)
class Verdict:
    """An outcome and one sentence that says it."""

    outcome: Outcome
    sentence: str


def outcome_of(interval: Interval, n: int, unit: float = 100.0, lower_is_better: bool = False) -> Outcome:
    """The rule behind every verdict, given the interval of a paired difference over ``n`` seeds.

    Below five seeds no claim. From five seeds up, better or worse if the t interval leaves out zero and the difference
    is one that tables show (``SHOWN`` points or more: where a model is broken every time, thousandths of a point are
    steady and mean nothing), else no difference shown.
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


def verdict(
    metric: str, method: str, baseline: str, paired: Paired, unit: float = 100.0, lower_is_better: bool = False
) -> Verdict:
    """Say what the paired difference over seeds allows to say, and no more.

    The rule is ``outcome_of``. It is a statement about training seeds on this test set; taken alone it errs in 5 % of
    the cases where there is no difference, so many verdicts need ``benjamini_hochberg`` beside them. Where no
    difference was shown, the sentence says how large one could have been shown.

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
    found = outcome_of(paired.interval, paired.n, unit, lower_is_better)
    if found == "not enough seeds":
        seeds = f"{paired.n} seeds support" if paired.n > 1 else "1 seed supports"
        return Verdict(found, f"{method} against {baseline}: {size}, but {seeds} no claim ({ENOUGH_SEEDS} do).")
    interval = f"{size}, 95 % interval {low:+.2f} to {high:+.2f} over {paired.n} seeds"
    if found == "no difference shown":
        least = could_show(paired, unit)
        if not math.isnan(least):
            interval += f"; {paired.n} seeds could have shown {least:.2f}{points}"
        return Verdict(found, f"{method} against {baseline}: {found} ({interval}).")
    return Verdict(found, f"{method} is {found} than {baseline}: {interval}.")
