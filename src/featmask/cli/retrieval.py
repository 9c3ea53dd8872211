"""Verbs of re-identification: attack a trained model, look at what it finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from ..errors import FeatmaskError
from ..reid.kinds import AttackKind
from .application import AsJson, Data, Device, Set, app, check_folder, check_picture, names, print_json
from .subjects import Checkpoint, Save, finish, loaded, task_of

if TYPE_CHECKING:
    from ..models import Normalized
    from ..reid.recipe import ReidRecipe

ATTACKS = ", ".join(get_args(AttackKind))


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
    from ..reid.searches import Searches, attacks_of
    from ..reid.task import Reid

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
    evaluation = searches.attack(attacks, on, limit or settings.evaluate.attack_queries, folder)
    if save is not None:
        evaluation.save(save)
    finish([evaluation], as_json)


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
    from ..reid.ranked_lists import find_query, ranked_lists, save_lists
    from ..reid.searches import Searches, attacks_of
    from ..reid.task import Reid

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
    lists, records = ranked_lists(searches, query, attacks, top=top)
    save_lists(searches, lists, out)
    if as_json:
        print_json({"picture": str(out), "lists": records})
    else:
        print(out)


def _reid(checkpoint: Path, changes: list[str], data: Path | None) -> tuple[Normalized, ReidRecipe]:
    from ..reid.recipe import ReidRecipe
    from ..study.fields import FIELDS, recipe_of

    field = FIELDS[task_of(checkpoint, None)]
    if field.recipe is not ReidRecipe:  # before keys are changed that its recipe does not have
        raise FeatmaskError(f"this verb is for re-identification, {checkpoint} is of {field.title}: featmask evaluate")
    model, settings, _ = loaded(checkpoint, changes, data)
    return model, recipe_of(ReidRecipe, settings, "this verb")
