"""What the fields differ in: their data, models, objectives and suites; all else of an experiment is shared."""

from .base import Task
from .opening import open_task, rebuild

__all__ = ["Task", "open_task", "rebuild"]
