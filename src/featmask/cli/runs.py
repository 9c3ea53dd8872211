"""Verbs that train: one run, or a comparison of many."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import FeatmaskError
from .application import AsJson, Data, Device, Out, RecipeFile, Set, app, check_folder, names, with_data

if TYPE_CHECKING:
    from ..recipe import AnyRecipe
    from ..results import Run


@app.command()
def compare(
    recipe: RecipeFile,
    methods: Annotated[str | None, typer.Option(help="Comma-separated; the first is the baseline.")] = None,
    seeds: Annotated[int | None, typer.Option(help="How many seeds.", min=1)] = None,
    set_: Set = None,
    data: Data = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train each method with each seed, measure it, and write a report."""
    from ..comparison import compare as run_comparison

    check_folder(out, "--out")
    result = run_comparison(
        read(recipe, set_, data),
        methods=names(methods),
        seeds=seeds,
        out=out,
        device=device,
        command=shlex.join(["featmask", *sys.argv[1:]]),
    )
    if as_json:
        print(
            json.dumps(
                {"folder": str(result.folder), "runs": [_summary(run) for run in result.runs], "failed": result.failed},
                indent=2,
            )
        )
    else:
        from ..terminal import print_comparison

        print_comparison(result.runs, result.report)
    if result.failed:
        raise FeatmaskError("some runs failed:\n" + "\n".join(f"  {run}: {why}" for run, why in result.failed.items()))


@app.command()
def train(
    recipe: RecipeFile,
    method: Annotated[str | None, typer.Option(help="Default: lfm if the recipe has it, else its last.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    set_: Set = None,
    data: Data = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train and measure one model; leaves a checkpoint."""
    from ..experiment import is_finished, measure_run, run_folder, train_run
    from ..results import read_run
    from ..tasks import open_task

    check_folder(out, "--out")
    settings = read(recipe, set_, data)
    name = method or ("lfm" if "lfm" in settings.methods else list(settings.methods)[-1])
    folder = run_folder(out, settings, name, seed)
    if not is_finished(settings, folder):
        task = open_task(settings)
        train_run(settings, name, seed, folder, task, device)
        measure_run(settings, folder, task, device)
    run = read_run(folder)
    if as_json:
        print(json.dumps(_summary(run), indent=2))
    else:
        from ..terminal import print_suites

        print_suites(list(run.suites.values()))
        print(f"checkpoint: {folder / 'model.safetensors'}")


def read(path: Path, set_: list[str] | None, data: Path | None) -> AnyRecipe:
    """A recipe as the command line changes it."""
    from ..recipe import read_recipe

    settings = read_recipe(path, set_ or ())
    return settings if data is None else read_recipe(path, with_data(set_, data, settings.data.name))


def _summary(run: Run) -> dict[str, Any]:
    metrics = {f"{suite.name}.{name}": value for suite in run.suites.values() for name, value in suite.metrics.items()}
    return {"folder": str(run.folder), "method": run.method, "seed": run.seed, **run.info, "metrics": metrics}
