"""What is measured on a classifier: suites by name or of a user's own, an outcome for every sample of every suite."""

from .evaluating import evaluate, evaluate_suites
from .named import plan_of
from .options import SuiteOptions
from .plans import Plan
from .published import evaluate_published

#: What ``SuiteOptions`` was called.
Options = SuiteOptions

__all__ = [
    "Options", "Plan", "SuiteOptions", "evaluate", "evaluate_published", "evaluate_suites", "plan_of",
]  # fmt: skip
