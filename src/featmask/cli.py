"""The command line. Heavy imports happen inside the verbs, so that ``featmask --help`` answers at once."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from .errors import FeatmaskError

if TYPE_CHECKING:
    from .recipe import Recipe
    from .results import Run

try:
    import typer
    import typer.core
except ModuleNotFoundError:
    sys.exit("featmask's command line needs the package 'typer'; install it with: pip install 'featmask[train]'")


class _Verbs(typer.core.TyperGroup):
    """Ends a verb as users expect: 2 and one message for a mistake or a failed write, 130 for Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except FeatmaskError as error:
            _end(2, str(error))
        except OSError as error:
            _end(2, f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        except KeyboardInterrupt:
            _end(130, "stopped; finished epochs are kept, the same command goes on from there")


app = typer.Typer(
    cls=_Verbs,
    help="Local Feature Masking for CNNs: train, compare, measure, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipeFile = Annotated[Path, typer.Argument(help="A recipe (YAML).", metavar="RECIPE")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Change a key: --set train.epochs=5", metavar="KEY=VALUE")]
Out = Annotated[Path, typer.Option(help="Where the runs' folders are.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output, nothing else.")]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Local Feature Masking for CNNs: train, compare, measure, report."""
    if version:
        from . import __version__

        print(__version__)
        raise typer.Exit


@app.command()
def compare(
    recipe: RecipeFile,
    methods: Annotated[str | None, typer.Option(help="Comma-separated; the first is the baseline.")] = None,
    seeds: Annotated[int | None, typer.Option(help="How many seeds.", min=1)] = None,
    set_: Set = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train each method with each seed, measure it, and write a report."""
    from .comparison import compare as run_comparison

    result = run_comparison(
        recipe,
        methods=_names(methods),
        seeds=seeds,
        out=out,
        device=device,
        overrides=set_ or (),
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
        from .terminal import print_comparison

        print_comparison(result.runs, result.report)
    if result.failed:
        raise FeatmaskError("some runs failed:\n" + "\n".join(f"  {run}: {why}" for run, why in result.failed.items()))


@app.command()
def train(
    recipe: RecipeFile,
    method: Annotated[str | None, typer.Option(help="Default: the recipe's last.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    set_: Set = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train and measure one model; leaves a checkpoint."""
    from .experiment import is_finished, load_data, measure_run, run_folder, train_run
    from .results import read_run

    settings = _recipe(recipe, set_)
    name = method or list(settings.methods)[-1]
    folder = run_folder(out, settings, name, seed)
    if not is_finished(settings, folder):
        splits = load_data(settings)
        train_run(settings, name, seed, folder, splits, device)
        measure_run(settings, folder, splits, device)
    run = read_run(folder)
    if as_json:
        print(json.dumps(_summary(run), indent=2))
    else:
        from .terminal import print_suites

        print_suites(list(run.suites.values()))
        print(f"checkpoint: {folder / 'model.safetensors'}")


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A model.safetensors of a run.")],
    suite: Annotated[list[str] | None, typer.Option(help="clean, linf; repeat for several.")] = None,
    set_: Set = None,
    limit: Annotated[int | None, typer.Option(help="Use only so many test images.", min=1)] = None,
    save: Annotated[Path | None, typer.Option(help="Write records and per-sample outcomes to this folder.")] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure a checkpoint on the test part of its recipe's data (--set data.root=... for another place)."""
    from dataclasses import asdict

    from .experiment import load_data, load_model, measure
    from .recipe import override, parse_recipe

    model, meta = load_model(checkpoint)
    settings = parse_recipe(override(meta["recipe"], set_ or ()), str(checkpoint))
    splits = load_data(settings)
    if list(splits.classes) != meta["classes"]:
        raise FeatmaskError(f"{checkpoint} was trained for {meta['classes']}, the data have {list(splits.classes)}")
    images = splits.test if limit is None else splits.test.head(limit)
    results = []
    for name in suite or settings.evaluate.suites:
        done = measure(model, images, name, settings.evaluate, device)
        results.append(done.suite)
        if save is not None:
            done.save(save)
    if as_json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        from .terminal import print_suites

        print_suites(results)


@app.command()
def masks(
    recipe: RecipeFile,
    methods: Annotated[str | None, typer.Option(help="Comma-separated; default: all of the recipe that mask.")] = None,
    images: Annotated[int, typer.Option(help="How many images.", min=1, max=32)] = 6,
    set_: Set = None,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("masks.png"),
) -> None:
    """Draw what each method hides, on feature maps of real images."""
    from .experiment import load_data
    from .masks import save_masks

    settings = _recipe(recipe, set_)
    chosen = _names(methods) or [name for name in settings.methods if settings.method(name).layer != "none"]
    save_masks(settings, load_data(settings), out, methods=chosen, count=images)
    print(out)


@app.command()
def points(
    model: Annotated[str, typer.Argument(help="A timm model, torchvision:NAME, or resnet8, resnet14, resnet20.")],
    size: Annotated[int | None, typer.Option(help="Image size in pixels.", min=8)] = None,
) -> None:
    """List the shallow places of a model where a mask can go."""
    import torch

    from .insert import shallow_points
    from .models import build_model

    example = None if size is None else torch.zeros(1, 3, size, size)
    for point in shallow_points(build_model(model, num_classes=10), example=example):
        print(point)


def _recipe(path: Path, overrides: list[str] | None) -> Recipe:
    from .recipe import read_recipe

    return read_recipe(path, overrides or ())


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text is not None else None


def _summary(run: Run) -> dict[str, Any]:
    metrics = {f"{suite.name}.{name}": value for suite in run.suites.values() for name, value in suite.metrics.items()}
    return {"folder": str(run.folder), "method": run.method, "seed": run.seed, **run.info, "metrics": metrics}


def main() -> None:
    """Run the command line: 0 done, 2 a mistake in what was asked, 130 stopped by Ctrl-C."""
    # TensorBoard's file format comes with a chatty library
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app()


def _end(code: int, message: str) -> NoReturn:
    print(f"featmask: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
