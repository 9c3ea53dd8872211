"""Attacks on a classifier, given pixels in [0, 1] and a budget; nothing here knows data, models or training.

Call ``run`` with an ``Attack``, or the method of that name of ``Attack``, ``Region``, ``AutoAttack`` and ``Transfer``.
Each attack's own file adds its row to the table ``ATTACKS``; the files are found by themselves.
"""

import importlib
import pkgutil

from .attack import Attack, Method, Model, budget_text, run
from .autoattack import AutoAttack
from .ball import Budget, Norm, check_budget, check_pixels, quantised
from .draws import Draws, Noise, Stream
from .regions import Region
from .registry import ATTACKS
from .transfer import Transfer

__all__ = [
    "ATTACKS", "Attack", "AutoAttack", "Budget", "Draws", "Method", "Model", "Noise", "Norm", "Region", "Stream",
    "Transfer", "budget_text", "check_budget", "check_pixels", "quantised", "run",
]  # fmt: skip

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
