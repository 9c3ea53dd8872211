"""From runs on disk to pages that a person reads. Nothing here imports torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import require

if TYPE_CHECKING:
    from .across.rebuilding import rebuild
    from .robustness import write_robustness
    from .study.write import write_report

_HOME = {"rebuild": ".across.rebuilding", "write_report": ".study.write", "write_robustness": ".robustness"}
__all__ = ["rebuild", "write_report", "write_robustness"]


def __getattr__(name: str) -> Any:
    # tables are printed on terminals that have no use for pictures: their libraries are asked for where they are used
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for package in ("matplotlib", "jinja2", "pydantic"):
        require(package, "report")
    return getattr(importlib.import_module(_HOME[name], __name__), name)
