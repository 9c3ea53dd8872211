"""From runs on disk to pages that a person reads. Nothing here imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import require

if TYPE_CHECKING:
    from .across.rebuilding import rebuild
    from .robustness import write_robustness
    from .study.write import write_report

__all__ = ["rebuild", "write_report", "write_robustness"]


def __getattr__(name: str) -> Any:
    # tables are printed on terminals that have no use for pictures: their libraries are asked for where they are used
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("matplotlib", "report")
    require("jinja2", "report")
    require("pydantic", "report")
    if name == "rebuild":
        from .across.rebuilding import rebuild

        return rebuild
    if name == "write_robustness":
        from .robustness import write_robustness

        return write_robustness
    from .study.write import write_report

    return write_report
