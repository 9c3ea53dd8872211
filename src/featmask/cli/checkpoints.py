"""Verbs that take a trained model: measure it, attack it, look at what it finds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import FeatmaskError
from .application import AsJson, Data, Device, Set, app, check_folder, check_picture, names, with_data

if TYPE_CHECKING:
    from ..evaluation import Evaluation
    from ..models import Normalized
    from ..recipe import AnyRecipe, ReidRecipe

Checkpoint = Annotated[Path, typer.Argument(help="A model.safetensors of a run.", metavar="CHECKPOINT")]
Save = Annotated[Path | None, typer.Option(help="Write records and per-sample outcomes to this folder.")]
#: What a checkpoint's recipe may be changed in.
OPEN = ("data", "evaluate")
ATTACKS = "fgsm, ifgsm, mifgsm, sma, fna, odfa, lta, misranking"


@app.command()
def evaluate(
    checkpoint: Checkpoint,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help="Of classification clean, linf; of re-identification clean, reranked, cross, attack_query, "
            "attack_gallery; repeat for several. Default: the recipe's."
        ),
    ] = None,
    data: Data = None,
    rerank: Annotated[bool, typer.Option("--rerank", help="Re-identification: clean and re-ranked.")] = False,
    ap: Annotated[str | None, typer.Option(help="Re-identification: standard or trapezoid precision.")] = None,
    cross: Annotated[
        list[Path] | None, typer.Option(help="Re-identification: score another data set too; repeat for several.")
    ] = None,
    set_: Set = None,
    limit: Annotated[int | None, typer.Option(help="Only so many test images, or attacked queries.", min=1)] = None,
    save: Save = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure a checkpoint on the test part of its recipe's data, or of the data that you name."""
    from ..tasks import open_task
    from ..tasks.classification import Classification

    check_folder(save, "--save")
    asked = (["reranked"] if rerank else []) + (["cross"] if cross else [])
    changes = list(set_ or [])
    if ap is not None:
        changes.append(f"evaluate.average_precision={json.dumps(ap)}")
    if cross:
        changes.append(f"evaluate.cross={json.dumps(_places(cross))}")
    if suite or asked:
        chosen = list(dict.fromkeys([*(suite or ["clean"]), *asked]))
        changes.append(f"evaluate.suites={json.dumps(chosen)}")
    why = "--rerank, --ap and --cross are of re-identification" if asked or ap is not None else ""
    model, settings, meta = _loaded(checkpoint, changes, data, reid=why)
    task = open_task(settings)
    if isinstance(task, Classification):
        task.check(meta, str(checkpoint))
    _finish(list(task.measure(settings, model, device, limit)), save, as_json)


@app.command()
def attack(
    checkpoint: Checkpoint,
    kinds: Annotated[str, typer.Option("--attack", help=f"Comma-separated, of {ATTACKS}.")] = "mifgsm,sma,fna",
    eps: Annotated[str, typer.Option(help="Comma-separated sizes in pixels: 5/255.")] = "5/255",
    on: Annotated[str, typer.Option(help="What is attacked: query or gallery.")] = "query",
    norm: Annotated[str, typer.Option(help="Of each pixel's change (linf) or of the whole image's (l2).")] = "linf",
    steps: Annotated[int | None, typer.Option(help="Gradient steps. Default: the recipe's.", min=1)] = None,
    limit: Annotated[int | None, typer.Option(help="Score only so many queries.", min=1)] = None,
    data: Data = None,
    pictures: Annotated[Path | None, typer.Option(help="Write the adversarial images as PNG to this folder.")] = None,
    set_: Set = None,
    save: Save = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Attack a re-identification model's queries or gallery and score it before and after."""
    from ..tasks.reid import Reid
    from ..tasks.searches import Searches, attacks_of

    if on not in ("query", "gallery"):
        raise FeatmaskError(f"--on: expected query or gallery, got {on!r}")
    check_folder(pictures, "--pictures")
    check_folder(save, "--save")
    chosen, sizes = names(kinds), names(eps)
    changes = [*(set_ or []), f"evaluate.attacks={json.dumps(chosen)}", f"evaluate.eps={json.dumps(sizes)}"]
    changes.append(f"evaluate.norm={json.dumps(norm)}")
    if steps is not None:
        changes.append(f"evaluate.steps={steps}")
    model, settings = _reid(checkpoint, changes, data)
    splits = Reid(settings).splits
    searches = Searches(settings, model, splits, device)
    attacks = attacks_of(settings, searches, splits, device)
    folder = None if pictures is None else str(pictures)
    _finish([searches.attack(attacks, on, limit or settings.evaluate.attack_queries, folder)], save, as_json)


@app.command()
def ranking(
    checkpoint: Checkpoint,
    query: Annotated[list[str], typer.Option(help="A query's file, or its name; repeat for several.")],
    kind: Annotated[str | None, typer.Option("--attack", help=f"Show it before and after: one of {ATTACKS}.")] = None,
    eps: Annotated[str, typer.Option(help="Size of the attack in pixels.")] = "5/255",
    top: Annotated[int, typer.Option(help="Answers to show.", min=1, max=50)] = 10,
    data: Data = None,
    set_: Set = None,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("ranking.png"),
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Draw what a re-identification model finds for a query: right and wrong answers framed, before and after an
    attack.
    """
    from ..tasks.ranked import find_query, ranked_lists, save_lists
    from ..tasks.reid import Reid
    from ..tasks.searches import Searches, attacks_of

    check_picture(out, "--out")
    changes = [*(set_ or []), f"evaluate.eps={json.dumps([eps])}"]
    if kind is not None:
        changes.append(f"evaluate.attacks={json.dumps([kind])}")
    model, settings = _reid(checkpoint, changes, data)
    splits = Reid(settings).splits
    for name in query:
        find_query(splits.query, name)
    searches = Searches(settings, model, splits, device)
    attacks = attacks_of(settings, searches, splits, device) if kind is not None else []
    lists, told = ranked_lists(searches, query, attacks, top=top)
    save_lists(searches, lists, out)
    if as_json:
        print(json.dumps({"picture": str(out), "lists": told}, indent=2))
    else:
        print(out)


def _loaded(
    checkpoint: Path, changes: list[str], data: Path | None, *, reid: str = ""
) -> tuple[Normalized, AnyRecipe, dict[str, Any]]:
    """A checkpoint's model, its recipe as the command line changes it, and its header.

    ``reid`` says why it must be of re-identification; empty: it need not.
    """
    from ..experiment import load_model
    from ..recipe import override, parse_recipe

    model, meta = load_model(checkpoint)
    trained = meta["recipe"]
    if reid and trained.get("task") != "reid":
        raise FeatmaskError(f"{checkpoint} is a classifier: {reid}")
    changed = override(trained, with_data(changes, data, trained["data"]["name"]))
    fixed = [key for key in (*trained, *changed) if key not in OPEN and changed.get(key) != trained.get(key)]
    if fixed:
        raise FeatmaskError(
            f"{checkpoint} is trained: of its recipe {' and '.join(OPEN)} can be changed, got a change of {fixed[0]}"
        )
    settings = parse_recipe(changed, f"the recipe of {checkpoint}, as you change it,")
    return model, settings.under(meta["run"]["method"]), meta


def _reid(checkpoint: Path, changes: list[str], data: Path | None) -> tuple[Normalized, ReidRecipe]:
    from ..recipe import ReidRecipe

    why = "this verb is for re-identification (see featmask evaluate --suite linf)"
    model, settings, _ = _loaded(checkpoint, changes, data, reid=why)
    assert isinstance(settings, ReidRecipe)
    return model, settings


def _places(roots: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Other data sets by a name that may stand in a file's name."""
    places: dict[str, dict[str, str]] = {}
    for root in roots:
        stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in root.expanduser().resolve().name) or "data"
        name, number = stem, 1
        while name.lower() in map(str.lower, places):
            number += 1
            name = f"{stem}-{number}"
        places[name] = {"root": str(root)}
    return places


def _finish(found: Sequence[Evaluation], save: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    if save is not None:
        for evaluation in found:
            evaluation.save(save)
    suites = [evaluation.suite for evaluation in found]
    if as_json:
        print(json.dumps([asdict(suite) for suite in suites], indent=2))
    else:
        from ..terminal import print_suites

        print_suites(suites)
