"""A recipe's data, kept open from one run to the next in a process."""

from __future__ import annotations

import json

from ..recipe import AnyRecipe
from ..tasks import Task, open_task

_LAST: dict[str, Task] = {}


def opened(recipe: AnyRecipe, *, measured: bool = True) -> Task:
    """As :func:`featmask.tasks.open_task`; the last task is kept, and given again to whom it fits."""
    key = json.dumps([measured, *(recipe.plain()[part] for part in ("task", "data", "evaluate"))], sort_keys=True)
    if key not in _LAST:
        _LAST.clear()  # first: two data sets may not fit into memory
        _LAST[key] = open_task(recipe, measured=measured)
    return _LAST[key]
