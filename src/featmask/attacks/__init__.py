"""Attacks on a classifier, given pixels in [0, 1] and a budget; nothing here knows data, models or training.

Call ``run`` with an ``Attack``, or the method of that name of ``Attack``, ``Region``, ``AutoAttack`` and ``Transfer``.
"""

from . import apgd, erasing, fgsm, mifgsm, noise, occlusion, patch, pgd, square  # noqa: F401 - each adds its row
from .attack import Attack, Model, budget_text, run
from .autoattack import AutoAttack
from .ball import Budget, Norm, check_budget, check_pixels, quantised
from .draws import Draws, Noise, Stream
from .regions import Region
from .registry import ATTACKS
from .transfer import Transfer

__all__ = [
    "ATTACKS",
    "Attack",
    "AutoAttack",
    "Budget",
    "Draws",
    "Model",
    "Noise",
    "Norm",
    "Region",
    "Stream",
    "Transfer",
    "budget_text",
    "check_budget",
    "check_pixels",
    "quantised",
    "run",
]
