"""Runs in memory whose figures are given: what a report says of them is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from featmask.records.run import RecordedRecipe, Run, RunInfo
from featmask.records.suite import Suite

#: method -> figures over seeds, or (seed, figure) pairs where seeds differ
Planted = Mapping[str, Sequence[float] | Mapping[int, float]]


def planted(figures: Mapping[str, Planted], suite: str = "clean", warned: Sequence[str] = (), **settings) -> list[Run]:
    """One suite of every method and seed; ``figures``: name of the figure -> its values."""
    methods = dict.fromkeys(method for values in figures.values() for method in values)
    runs = []
    for method in methods:
        by_name = {
            name: (dict(enumerate(values[method])) if not isinstance(values[method], Mapping) else values[method])
            for name, values in figures.items()
            if method in values
        }
        for seed in sorted({seed for values in by_name.values() for seed in values}):
            metrics = {name: values[seed] for name, values in by_name.items() if seed in values}
            info = RunInfo(method=method, seed=seed, dropped_fraction=0.1 * (method != "none"))
            found = Suite(suite, "test", 656, metrics, settings, tuple(warned))
            runs.append(Run(Path(method) / f"seed-{seed}", info, RecordedRecipe(), {}, [], {suite: found}, {}))
    return runs
