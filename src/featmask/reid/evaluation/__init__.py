"""What is measured on embedders: features, the scores of a search, and the same under attack."""

from .attacked import attack_retrieval
from .retrieval import Described, describe, evaluate_retrieval

__all__ = ["Described", "attack_retrieval", "describe", "evaluate_retrieval"]
