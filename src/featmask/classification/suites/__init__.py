"""What is measured on a classifier: suites by name or of a user's own, an outcome for every sample of every suite."""

from ..suite_names import SUITES, expand, is_file
from .evaluating import evaluate, evaluate_suites
from .named import own_plan, plan_of
from .options import SuiteOptions
from .plans import Plan
from .published import evaluate_published

#: What ``SuiteOptions`` was called.
Options = SuiteOptions

__all__ = [
    "SUITES",
    "Options",
    "Plan",
    "SuiteOptions",
    "evaluate",
    "evaluate_published",
    "evaluate_suites",
    "expand",
    "is_file",
    "own_plan",
    "plan_of",
]
