"""A recipe's data, kept open from one run to the next in a process."""

from __future__ import annotations

import json

from ..recipe import Recipe
from .fields import open_task
from .task import AnyTask

#: By its key, and whether it can be measured.
_LAST: dict[str, tuple[AnyTask, bool]] = {}


def cached_task(recipe: Recipe, *, measured: bool = True) -> AnyTask:
    """As :func:`featmask.study.fields.open_task`; the last task is kept for the same data and suites."""
    key = json.dumps([recipe.plain()[part] for part in ("task", "data", "evaluate")], sort_keys=True)
    task, ready = _LAST.get(key, (None, False))
    if task is None or (measured and not ready):
        _LAST.clear()  # first: two data sets may not fit into memory
        task = open_task(recipe, measured=measured)
        _LAST[key] = task, measured
    return task
