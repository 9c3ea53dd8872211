"""The application: how a verb ends, and the options that several verbs have."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

from ..errors import FeatmaskError

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
    return [name.strip() for name in text.split(",") if name.strip()] if text is not None else None


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
    app()


def _end(code: int, message: str) -> NoReturn:
    print(f"featmask: {message}", file=sys.stderr)
    sys.exit(code)
