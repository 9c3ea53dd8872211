"""Attacks on a callable, given pixels in [0, 1] and a budget; nothing here knows data, models or training.

On classifiers: ``run`` with an ``Attack``, or the method of that name which ``Attack``, ``Region``, ``AutoAttack`` and
``Transfer`` have. On retrieval: ``perturb`` with a ``MetricAttack`` and, for some kinds, ``choose_guides``; or a
generator from ``train_misranking``.
"""

from .attack import Attack, Kind, Model, budget_text, run
from .auto import AutoAttack
from .ball import Budget, Norm, check_budget, quantised
from .draws import Draws, Noise, Stream
from .embedding import Embed
from .guides import Guides, choose_guides, guides_rule
from .metric import MetricAttack, perturb
from .misranking import MisRanking, train_misranking
from .regions import Region
from .transfer import Transfer

__all__ = [
    "Attack",
    "AutoAttack",
    "Budget",
    "Draws",
    "Embed",
    "Guides",
    "Kind",
    "MetricAttack",
    "MisRanking",
    "Model",
    "Noise",
    "Norm",
    "Region",
    "Stream",
    "Transfer",
    "budget_text",
    "check_budget",
    "choose_guides",
    "guides_rule",
    "perturb",
    "quantised",
    "run",
    "train_misranking",
]
