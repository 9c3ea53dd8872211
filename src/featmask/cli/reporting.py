"""The verb that makes pages from what other verbs left behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..errors import FeatmaskError
from .application import AsJson, app, check_folder, names, print_json
from .subjects import command

#: What tells a folder of one model's records from a folder above runs.
RECORDS = ("eval", "doctor.json", "subject.json")


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Studies of compare: folders above runs, or zip files of --pack. Or one model's records each: folders "
            "of evaluate --save, set beside each other.",
            metavar="RUNS...",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Where the pages go. Default: the study's or first folder.")] = None,
    title: Annotated[str | None, typer.Option(help="Of a single page.")] = None,
    methods: Annotated[str | None, typer.Option(help="Of studies only these, in this order; first baseline.")] = None,
    pack: Annotated[
        Path | None, typer.Option(help="Write the studies' raw records, without weights, to this zip file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the pages of studies again from their records; of several studies, one across them too.

    Nothing is trained or measured: HTML, Markdown, CSV and LaTeX come from the files alone.
    """
    from ..report import rebuild, write_robustness

    check_folder(out, "--out")
    _check_pack(pack)
    if _is_one_model(runs):
        if methods is not None or pack is not None:
            raise FeatmaskError("--methods and --pack are of studies; these are records of single models")
        written = write_robustness(runs, out or runs[0], title=title)
    else:
        written = rebuild(runs, out=out, methods=names(methods), title=title, packed=pack, command=command())
    if as_json:
        print_json({kind: str(path) for kind, path in written.items()})
    else:
        for path in written.values():
            print(path)


def _is_one_model(places: Sequence[Path]) -> bool:
    """Whether the folders hold one model's records each; a mistake where some do and some do not."""
    for place in places:
        if not place.exists():
            raise FeatmaskError(f"expected folders of runs or of records, or zip files; there is none at {place}")
    single = [place for place in places if any((place / name).exists() for name in RECORDS)]
    if single and len(single) < len(places):
        others = next(place for place in places if place not in single)
        raise FeatmaskError(
            f"expected studies, or records of single models; {single[0]} holds records of one, {others} does not"
        )
    return bool(single)


def _check_pack(pack: Path | None) -> None:
    if pack is None:
        return
    if pack.suffix.lower() != ".zip" or pack.is_dir():
        raise FeatmaskError(f"--pack: expected a name that ends with .zip, got {pack}")
    check_folder(pack.parent, "--pack")
