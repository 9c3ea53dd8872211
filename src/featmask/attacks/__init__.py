"""Attacks on a callable, given pixels in [0, 1] and a budget; nothing here knows data, models or training.

On classifiers: ``run`` with an ``Attack``. On retrieval: ``perturb`` with a ``MetricAttack`` and, for some kinds,
``choose_guides``; or a generator from ``train_misranking``.
"""

from .ball import Budget, check_budget, quantised
from .embedding import Embed
from .gradient import Attack, fgsm, pgd, run
from .guides import Guides, choose_guides, guides_rule
from .metric import MetricAttack, perturb
from .misranking import MisRanking, train_misranking

__all__ = [
    "Attack",
    "Budget",
    "Embed",
    "Guides",
    "MetricAttack",
    "MisRanking",
    "check_budget",
    "choose_guides",
    "fgsm",
    "guides_rule",
    "perturb",
    "pgd",
    "quantised",
    "run",
    "train_misranking",
]
