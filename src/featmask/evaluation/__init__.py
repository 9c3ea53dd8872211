"""What is measured on trained models: classifiers, and retrieval by embeddings, as they are and under attack."""

from .attacked import attack_retrieval
from .classification import evaluate, linf_attacks
from .retrieval import Described, describe, evaluate_retrieval
from .setup import Evaluation

__all__ = [
    "Described",
    "Evaluation",
    "attack_retrieval",
    "describe",
    "evaluate",
    "evaluate_retrieval",
    "linf_attacks",
]
