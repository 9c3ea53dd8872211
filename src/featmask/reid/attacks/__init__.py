"""Attacks on retrieval by embeddings: ``perturb`` with a ``MetricAttack``, or a generator from ``train_misranking``."""

from .embedding import Embed
from .guides import Guides, choose_guides, guides_rule
from .metric import MetricAttack, perturb
from .misranking import MisRanking, train_misranking

__all__ = [
    "Embed",
    "Guides",
    "MetricAttack",
    "MisRanking",
    "choose_guides",
    "guides_rule",
    "perturb",
    "train_misranking",
]
