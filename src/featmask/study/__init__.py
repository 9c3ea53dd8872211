"""Experiments: one run, a comparison of many, its plan, its search for options, its pictures.

Names are imported when they are first used: training one model needs none of the libraries that draw a report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparing import Comparison, compare, plan
    from .planning import Planned, Planning

_HOME = {
    "Comparison": "comparing",
    "compare": "comparing",
    "plan": "comparing",
    "Planned": "planning",
    "Planning": "planning",
}

__all__ = ["Comparison", "Planned", "Planning", "compare", "plan"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME[name]}", __name__), name)
