"""Methods x seeds, each an independent run that is resumed or recognised by its folder, then one report."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import FeatmaskError
from .experiment import is_finished, load_data, measure_run, run_folder, study_folder, train_run
from .family import FAMILY, member
from .masks import save_masks
from .recipe import Recipe, read_recipe
from .results import Run, read_run

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """What a comparison left behind.

    Attributes:
        folder: ``out/<recipe>/<key>``.
        runs: the finished runs, in the order of methods and seeds.
        report: kind -> path of ``report.html``, ``report.md`` and ``table.csv``.
        failed: ``method, seed`` -> why that run could not be finished; the others are not affected.
    """

    folder: Path
    runs: list[Run]
    report: dict[str, Path]
    failed: dict[str, str] = field(default_factory=dict)


def compare(
    recipe: str | Path | Recipe,
    *,
    methods: Sequence[str] | None = None,
    seeds: int | Iterable[int] | None = None,
    out: str | Path = "runs",
    device: str = "auto",
    overrides: Sequence[str] = (),
    command: str | None = None,
) -> Comparison:
    """Train and measure every method with every seed, then write the report.

    Runs that are finished are recognised and not repeated; a run that was killed goes on where it stopped.

    Args:
        recipe: a recipe or the path of one.
        methods: names from the recipe or from the family; default: the recipe's. The first is the baseline.
        seeds: how many (0, 1, ...) or which; default: the recipe's number.
        out: where the runs' folders are.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overrides: ``key=value`` changes of the recipe.
        command: for the record, what made the report.

    Raises:
        FeatmaskError: a mistake in the recipe, the methods or the data, or no run that could be finished.
    """
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(recipe, overrides)
    elif overrides:
        raise FeatmaskError("overrides are applied while a recipe is read; give its path, not the recipe itself")
    chosen = list(methods) if methods is not None else list(recipe.methods)
    for name in chosen:
        if name not in recipe.methods and name not in FAMILY:
            raise FeatmaskError(
                f"unknown method {name!r}; the recipe has {', '.join(recipe.methods)}; "
                f"the family has {', '.join(FAMILY)}"
            )
        member(recipe.method(name).layer or name)
    numbers = (
        list(range(recipe.seeds if seeds is None else seeds))
        if seeds is None or isinstance(seeds, int)
        else list(seeds)
    )
    if not chosen or not numbers:
        raise FeatmaskError("a comparison needs at least one method and one seed")
    out = Path(out)
    plan = [(name, seed, run_folder(out, recipe, name, seed)) for seed in numbers for name in chosen]
    folder = study_folder(out, recipe)
    failed: dict[str, str] = {}
    open_runs = [entry for entry in plan if not is_finished(recipe, entry[2])]
    splits = load_data(recipe) if open_runs or not (folder / "masks.png").is_file() else None
    for number, (name, seed, path) in enumerate(plan, start=1):
        title = f"[{number}/{len(plan)}] {name}, seed {seed}"
        if (name, seed, path) not in open_runs:
            _say(f"{title}: finished before")
            continue
        assert splits is not None
        _say(title)
        try:
            train_run(recipe, name, seed, path, splits, device)
            measure_run(recipe, path, splits, device)
        except FeatmaskError as error:
            failed[f"{name}, seed {seed}"] = str(error)
            _say(f"{title} failed: {error}")
    finished = {(name, seed): path for name, seed, path in plan if is_finished(recipe, path)}
    runs = [read_run(finished[name, seed]) for name in chosen for seed in numbers if (name, seed) in finished]
    if not runs:
        raise FeatmaskError("no run could be finished:\n" + "\n".join(f"  {run}: {why}" for run, why in failed.items()))
    images = {}
    if splits is not None:
        drawn = list(dict.fromkeys(run.method for run in runs))
        save_masks(
            recipe,
            splits,
            folder / "masks.png",
            methods=[name for name in drawn if recipe.method(name).layer != "none"],
        )
    if (folder / "masks.png").is_file():
        images["What each method hides: one channel of the feature maps of real images"] = folder / "masks.png"
    from .report import write_report

    report = write_report(folder, runs, command=command or "featmask.compare(...)", images=images)
    return Comparison(folder, runs, report, failed)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
