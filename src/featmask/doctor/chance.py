"""How far a count of samples may stray by chance: exact binomial tails, and the shares that sound models are allowed.

Each comparison raises a false alarm with a probability of at most ``ALPHA`` where the true share is the allowed one,
and with less below it. There are about a dozen: a model at the edge of all of them at once is flagged in about 1 % of
examinations, one well inside practically never. Small counts therefore pass: of 128 samples 8 must be beyond an
allowance of 2 %, so that a fault that touches a few samples alone needs more ``samples`` to be found.
"""

from __future__ import annotations

from scipy.special import bdtrc

#: Probability of a false alarm of one comparison.
ALPHA = 0.001
#: Samples that a sound attack misses though a weaker one finds them. Few steps and one start leave about 1 %.
MISSED = 0.02
#: Samples that another loss may find beyond cross-entropy. On sound, adversarially trained models DLR and targeted
#: losses take 2 to 4 points more than PGD (Croce and Hein 2020, table 2).
LOSSES = 0.05
#: Samples that two and a half times the steps, or more starts, may find; beyond it the budget is too small.
UNFINISHED = 0.03
#: Samples that may survive where the ball holds the grey image, so that no classifier can be right on two classes.
SURVIVES = 0.05
#: Samples without a gradient: dead units leave some images of a sound network without one, but hardly any.
FLAT = 0.01
#: Samples of which autograd and differences may disagree: kinks of ReLU that lie within the difference.
KINKED = 0.05
#: An undefended CNN on photographs has about 0 % at 8/255; small and grey images leave some.
UNDEFENDED = 0.10


def at_least(count: int, n: int, share: float) -> float:
    """Probability of ``count`` or more of ``n`` where each comes with probability ``share``."""
    return float(bdtrc(count - 1, n, share))


def at_most(count: int, n: int, share: float) -> float:
    """Probability of ``count`` or fewer."""
    return at_least(n - count, n, 1 - share)


def beyond(count: int, n: int, share: float) -> bool:
    """Whether ``count`` of ``n`` is more than an allowed ``share`` explains."""
    return n > 0 and at_least(count, n, share) <= ALPHA


def outweighs(more: int, fewer: int, alpha: float = ALPHA) -> bool:
    """Exact one-sided McNemar test: whether one of two outcomes on the same samples is better, chance aside.

    It alone has ``more`` samples right, the other alone ``fewer``; ``alpha`` is the probability of a false alarm.
    """
    return at_least(more, more + fewer, 0.5) <= alpha


def percent(count: int, n: int) -> str:
    """``12.5 % of 128``."""
    return f"{100 * count / max(1, n):.1f} % of {n}"
