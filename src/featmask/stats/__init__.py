"""Intervals and paired tests, and the words that they allow.

Variation over training seeds and sampling of the test set are two things: intervals over seeds speak of other seeds on
this test set, Wilson intervals and McNemar's test of other test sets for these models.
"""

from .effects import MOST_SEEDS, detectable, effect_size, power, seeds_needed
from .intervals import Interval, mean_interval, wilson
from .paired import Paired, paired_difference
from .pvalues import benjamini_hochberg, mcnemar, sign_flip, smallest_p, t_test
from .words import ENOUGH_SEEDS, LOWER_IS_BETTER, SHOWN, Outcome, could_show, outcome_of

__all__ = [
    "ENOUGH_SEEDS", "LOWER_IS_BETTER", "MOST_SEEDS", "SHOWN", "Interval", "Outcome", "Paired",
    "benjamini_hochberg", "could_show", "detectable", "effect_size", "mcnemar", "mean_interval", "outcome_of",
    "paired_difference", "power", "seeds_needed", "sign_flip", "smallest_p", "t_test", "wilson",
]  # fmt: skip
