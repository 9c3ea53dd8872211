"""Which methods are compared, in which runs, with which settings, and what comes of it."""

from .comparing import Comparison, compare, plan
from .planned import Planned, Planning

__all__ = ["Comparison", "Planned", "Planning", "compare", "plan"]
