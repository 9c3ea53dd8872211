"""What is measured on a classifier: suites by name or of a user's own, an outcome for every sample of every suite."""

from .evaluating import evaluate, is_file
from .named import own_plan, plan_of
from .options import SUITES, Options, expand
from .plans import Plan
from .published import evaluate_published

__all__ = ["SUITES", "Options", "Plan", "evaluate", "evaluate_published", "expand", "is_file", "own_plan", "plan_of"]
