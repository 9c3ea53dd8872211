"""Attacks on a classifier, given pixels in [0, 1] and a budget; nothing here knows data, models or training.

Call ``run`` with an ``Attack``, or the method of that name of ``Attack``, ``Region``, ``AutoAttack`` and ``Transfer``.
"""

from .attack import Attack, Kind, Model, budget_text, run
from .auto import AutoAttack
from .ball import Budget, Norm, check_budget, quantised
from .draws import Draws, Noise, Stream
from .regions import Region
from .transfer import Transfer

__all__ = [
    "Attack",
    "AutoAttack",
    "Budget",
    "Draws",
    "Kind",
    "Model",
    "Noise",
    "Norm",
    "Region",
    "Stream",
    "Transfer",
    "budget_text",
    "check_budget",
    "quantised",
    "run",
]
