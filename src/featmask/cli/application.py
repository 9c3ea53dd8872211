"""The application: how a verb ends, and the options that several verbs have."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, NoReturn

from ..errors import FeatmaskError, FeatmaskWarning

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
            # a rename fails for its goal; where it comes from is a file of ours that is gone by now
            place = error.filename2 or error.filename
            _end(2, f"{error.strerror or error}{f': {place}' if place else ''}")
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
Data = Annotated[
    Path | None, typer.Option("--data", help="The data's folder, in place of the recipe's.", metavar="ROOT")
]
Out = Annotated[Path, typer.Option(help="Where the runs' folders are.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output, nothing else.")]


def with_data(set_: list[str] | None, data: Path | None, name: str) -> list[str]:
    """The changes of a recipe, ``--data`` among them; a rendered set (``name``) gives way to a folder of any layout."""
    changes = list(set_ or [])
    if data is not None:
        # a path may hold what YAML would read as something else
        changes.append(f"data.root={json.dumps(str(data))}")
        if name == "synthetic":
            changes += ["data.name=auto", "data.world=null"]
    return changes


def names(text: str | None) -> list[str] | None:
    """Comma-separated names; None where nothing was given."""
    return list(dict.fromkeys(filter(None, map(str.strip, text.split(","))))) if text is not None else None


def print_json(value: Any) -> None:
    """Print a result as JSON."""
    print(json.dumps(value, indent=2))


def check_picture(path: Path | None, option: str) -> None:
    """Refuse a picture that could not be written, before the work that it shows.

    Raises:
        FeatmaskError: a folder, a name that is none of a PNG file, or a place where nothing can be written.
    """
    if path is None:
        return
    if path.is_dir():
        raise FeatmaskError(f"{option}: expected a file such as {path / 'picture.png'}, got the folder {path}")
    if path.suffix.lower() != ".png":
        raise FeatmaskError(f"{option}: pictures are PNG files; expected a name that ends with .png, got {path.name}")
    check_folder(path.parent, option)


def check_folder(path: Path | None, option: str) -> None:
    """Refuse a folder that could not be made or written to, before the work that it is for.

    Raises:
        FeatmaskError: it lies below a file, or nothing can be written there.
    """
    if path is None:
        return
    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise FeatmaskError(f"{option}: expected a folder, got {path}: {there} is a file")
    if not os.access(there, os.W_OK):
        raise FeatmaskError(f"{option}: nothing can be written to {there}; choose another folder")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Local Feature Masking for CNNs: train, compare, measure, report."""
    if version:
        from .. import __version__

        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line: 0 done, 2 a mistake in what was asked, 130 stopped by Ctrl-C."""
    # TensorBoard's file format comes with a chatty library
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # of files that it reads all the same; data check names those that it does not
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.showwarning = _warn
    app()


_show = warnings.showwarning


def _warn(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Our own warnings without the line of code that they come from."""
    if issubclass(category, FeatmaskWarning):
        print(f"featmask: warning: {message}", file=sys.stderr)
    else:
        _show(message, category, *where, **more)


def _end(code: int, message: str) -> NoReturn:
    print(f"featmask: {message}", file=sys.stderr)
    sys.exit(code)
