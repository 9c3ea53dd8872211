"""What is measured on trained models: classifiers, and retrieval by embeddings, as they are and under attack."""

from .attacked import attack_retrieval
from .classification import evaluate, is_file
from .options import SUITES, Options, expand
from .plans import Plan
from .published import evaluate_published
from .retrieval import Described, describe, evaluate_retrieval
from .setup import Evaluation
from .suites import own_plan, plan_of

__all__ = [
    "SUITES",
    "Described",
    "Evaluation",
    "Options",
    "Plan",
    "attack_retrieval",
    "describe",
    "evaluate",
    "evaluate_published",
    "evaluate_retrieval",
    "expand",
    "is_file",
    "own_plan",
    "plan_of",
]
