"""Verbs about data sets: check one, render one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .application import AsJson, Set, app, check_folder, check_picture, print_json

data = typer.Typer(help="Re-identification data sets: check one, render one.", no_args_is_help=True)
app.add_typer(data, name="data")


@data.command()
def check(
    root: Annotated[Path, typer.Argument(help="The data set's folder, or a CSV file.", metavar="ROOT")],
    layout: Annotated[str, typer.Option(help="auto, or a layout's name.")] = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Do not decode the pixels.")] = False,
    as_json: AsJson = False,
) -> None:
    """Name what is missing, doubled, unreadable or oddly named, with counts; exit code 1 if anything is."""
    from ..reid.data import check_reid

    found = check_reid(root, layout, decode=not quick)
    if as_json:
        print_json(found.plain())
    else:
        print("\n".join(found.lines()))
    if not found.ok:
        raise typer.Exit(1)


@data.command()
def render(
    out: Annotated[Path, typer.Argument(help="A new folder; it gets the Market-1501 layout.", metavar="OUT")],
    set_: Set = None,
    sheet: Annotated[Path | None, typer.Option(help="Draw a contact sheet to this PNG file too.")] = None,
) -> None:
    """Render a set of pedestrians who do not exist (--set domain=b, --set train_ids=200, --set seed=1, ...)."""
    from ..recipe import override
    from ..reid.synthetic import contact_sheet, make_world, render_world

    check_folder(out.parent, "OUT")
    check_picture(sheet, "--sheet")
    world = make_world(override({}, set_ or ()))
    print(render_world(world, out))
    if sheet is not None:
        contact_sheet(world, sheet)
        print(sheet)
