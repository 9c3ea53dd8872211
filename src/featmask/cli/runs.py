"""Verbs that train: one run, or a comparison of many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import FeatmaskError
from .application import AsJson, Data, Device, Out, RecipeFile, Set, app, check_folder, names, print_json
from .subjects import command, read

if TYPE_CHECKING:
    from ..records.run import Run

Jobs = Literal["local", "ray"]


@app.command()
def compare(
    recipe: RecipeFile,
    methods: Annotated[str | None, typer.Option(help="Comma-separated; the first is the baseline.")] = None,
    seeds: Annotated[int | None, typer.Option(help="How many seeds.", min=1)] = None,
    tune: Annotated[int, typer.Option(help="First search each method's options by so many trials.", min=0)] = 0,
    jobs: Annotated[Jobs, typer.Option(help="Processes of this machine, or a Ray cluster.")] = "local",
    workers: Annotated[int, typer.Option(help="Runs at a time on this machine; they share its threads.", min=1)] = 1,
    cpus: Annotated[float, typer.Option(help="Of a Ray node, a run.", min=0)] = 1,
    gpus: Annotated[float, typer.Option(help="The same; 0.5: two runs share one.", min=0)] = 0,
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster. Default: one on this machine.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, and how long it should take.")
    ] = False,
    set_: Set = None,
    data: Data = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train each method with each seed, measure it, and write a report."""
    from ..jobs import Executor, listed
    from ..study.comparing import compare as run_comparison
    from ..study.comparing import plan
    from ..training.processes import alone

    alone("compare")
    check_folder(out, "--out")
    settings = read(recipe, set_, data)
    asked = dict[str, Any](methods=names(methods), seeds=seeds, tune_trials=tune, out=out, device=device)
    if dry_run:
        planned = plan(settings, **asked)
        if as_json:
            print_json(planned.plain() | {"workers": workers})
        else:
            from .terminal import print_plan

            print_plan(planned, workers)
        return
    executor = Executor(kind=jobs, workers=workers, cpus=cpus, gpus=gpus, address=address)
    result = run_comparison(settings, **asked, executor=executor, command=command())
    if as_json:
        runs = [_summary(run) for run in result.runs]
        print_json({"folder": str(result.folder), "runs": runs, "failed": result.failed})
    else:
        from .terminal import print_comparison

        print_comparison(result.runs, result.report)
    if result.failed:
        raise FeatmaskError(listed("some runs failed", result.failed))


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
    """Train and measure one model; leaves a checkpoint. Processes that torchrun has started share the training."""
    from ..records.run import read_run
    from ..study.fields import open_task
    from ..study.run import is_finished, measure_run, run_folder, train_run
    from ..training.processes import from_main, main_first, together

    check_folder(out, "--out")
    settings = read(recipe, set_, data)
    name = method or ("lfm" if "lfm" in settings.methods else list(settings.methods)[-1])
    folder = run_folder(out, settings, name, seed)
    with together(device) as main:
        finished = from_main(is_finished(settings, folder))
        if not finished:
            with main_first():
                task = open_task(settings, measured=main)
            train_run(settings, name, seed, folder, task, device)
    if not main:
        return  # it has helped to train: there is one model to measure and to tell of
    if not finished:
        measure_run(settings, folder, task, device)
    run = read_run(folder)
    if as_json:
        print_json(_summary(run))
    else:
        from .terminal import print_suites

        print_suites(list(run.suites.values()))
        print(f"checkpoint: {folder / 'model.safetensors'}")


def _summary(run: Run) -> dict[str, Any]:
    metrics = {f"{suite.name}.{name}": value for suite in run.suites.values() for name, value in suite.metrics.items()}
    return {"folder": str(run.folder), "method": run.method, "seed": run.seed, **run.info.plain(), "metrics": metrics}
