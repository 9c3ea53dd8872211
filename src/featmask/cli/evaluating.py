"""Verbs that measure a trained model: suites, and the doctor's checks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import FeatmaskError
from .application import AsJson, Data, Device, Set, app, check_folder
from .subjects import AnyModel, Logit, Mean, OtherRecipe, Save, Std, Subject, command, finish, loaded, subject

if TYPE_CHECKING:
    from ..tasks.classification import Classification

#: The doctor's radius where none is named, by the norm.
RADII = {"linf": "8/255", "l2": "0.5", "l1": "12"}
#: Options that re-identification has and classification has not, and the other way round.
OF_REID = "--rerank, --ap and --cross are of re-identification"
OF_CLASSES = (
    "--ood, --corrupted, --surrogate, suites in files, and models that featmask did not train are of classifiers"
)


@app.command()
def evaluate(
    checkpoint: AnyModel,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help="Of classification clean, linf, l2, l1, autoattack, blackbox, corruptions, occlusion, transfer, full, "
            "or a YAML file of your own; of re-identification clean, reranked, cross, attack_query, attack_gallery; "
            "repeat for several. Default: the recipe's."
        ),
    ] = None,
    data: Data = None,
    ood: Annotated[
        str | None, typer.Option(help="Classification: another data set, by name or folder; can its images be told?")
    ] = None,
    corrupted: Annotated[
        Path | None, typer.Option(help="Classification: a folder such as CIFAR-10-C or ImageNet-C.")
    ] = None,
    surrogate: Annotated[
        Path | None, typer.Option(help="Classification: a checkpoint that the suite transfer attacks in its place.")
    ] = None,
    recipe: OtherRecipe = None,
    mean: Mean = None,
    std: Std = None,
    single_logit: Logit = False,
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
    """Measure a checkpoint on the test part of its recipe's data, or of the data that you name.

    With --save, what is measured is kept after every batch: the same command goes on after it was stopped.
    """
    check_folder(save, "--save")
    if rerank or cross or ap is not None or _is_reid(checkpoint, recipe):
        from ..evaluation import is_file

        if ood or corrupted or surrogate or recipe or any(map(is_file, suite or ())):
            raise FeatmaskError(OF_CLASSES)
        _evaluate_reid(checkpoint, suite, data, rerank, ap, cross, set_, limit, save, device, as_json)
        return
    from ..tasks.suites import measure_suites

    found = subject(checkpoint, list(set_ or []), data, recipe, mean, std, single_logit)
    found.check(save)
    task = _classification(found)
    measured = measure_suites(
        task, found.recipe, found.model, device, suite, limit=limit, folder=save,
        ood=ood, corrupted=corrupted, surrogate=None if surrogate is None else loaded(surrogate, [], None)[0],
    )  # fmt: skip
    if save is not None:
        found.save(save, task.splits.classes)
    finish(measured, as_json)
    if save is not None and not as_json:
        print(f"records: {save}; a page of them: featmask report {save}")


@app.command()
def doctor(
    checkpoint: AnyModel,
    eps: Annotated[
        str | None, typer.Option(help="Radius of the attacks, in pixels. Default: 8/255, of l2 0.5, of l1 12.")
    ] = None,
    norm: Annotated[str, typer.Option(help="linf, l2 or l1.")] = "linf",
    samples: Annotated[int, typer.Option(help="Test images to examine.", min=8)] = 128,
    surrogate: Annotated[
        Path | None, typer.Option(help="A checkpoint of an undefended twin: do its attacks transfer?")
    ] = None,
    data: Data = None,
    recipe: OtherRecipe = None,
    mean: Mean = None,
    std: Std = None,
    single_logit: Logit = False,
    set_: Set = None,
    save: Annotated[Path | None, typer.Option(help="Write doctor.json to this folder.")] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Ask whether a figure of robustness of this model can be trusted; exit code 1 where it can't."""
    from ..devices import pick_device
    from ..environment import environment
    from ..evaluation.doctor import examine

    check_folder(save, "--save")
    found = subject(checkpoint, list(set_ or []), data, recipe, mean, std, single_logit)
    found.check(save)
    task = _classification(found)
    diagnosis = examine(
        found.model.eval() if found.meta is not None else found.model,
        task.splits.test.head(samples),
        eps=eps or RADII.get(norm, RADII["linf"]),
        norm=cast(Any, norm),  # checked there
        samples=samples,
        surrogate=None if surrogate is None else loaded(surrogate, [], None)[0],
        device=pick_device(device),
        adversarially_trained=None if found.meta is None else _hardened(found),
    )
    told: dict[str, Any] = diagnosis.plain() | {"environment": environment(), "command": command()}
    if save is not None:
        from ..files import write_json

        write_json(save / "doctor.json", told)
        found.save(save, task.splits.classes)
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        from ..terminal import print_diagnosis

        print_diagnosis(told)
    if not diagnosis.trusted:
        raise typer.Exit(1)


def _hardened(found: Subject) -> bool:
    """Whether a checkpoint's recipe says that it was trained on attacked images."""
    from ..recipe import ClassificationRecipe

    return isinstance(found.recipe, ClassificationRecipe) and found.recipe.train.adversarial is not None


def _classification(found: Subject) -> Classification:
    """The opened data of a classifier, if they have the classes that it was trained for."""
    from ..tasks import open_task
    from ..tasks.classification import Classification

    if found.recipe.task != "classification":
        raise FeatmaskError(f"{found.path} is of re-identification: this verb is for classifiers (see featmask attack)")
    task = open_task(found.recipe, measured=False)
    assert isinstance(task, Classification)
    if found.meta is not None:
        task.check(found.meta, str(found.path))
    return task


def _is_reid(checkpoint: Path, recipe: Path | None) -> bool:
    from ..models import read_checkpoint

    if recipe is not None or checkpoint.suffix != ".safetensors":
        return False
    return bool(read_checkpoint(checkpoint, header_only=True)[1]["recipe"].get("task") == "reid")


def _evaluate_reid(
    checkpoint: Path, suite: list[str] | None, data: Path | None, rerank: bool, ap: str | None,
    cross: list[Path] | None, set_: list[str] | None, limit: int | None, save: Path | None, device: str, as_json: bool,
) -> None:  # fmt: skip
    from ..tasks import open_task

    asked = (["reranked"] if rerank else []) + (["cross"] if cross else [])
    changes = list(set_ or [])
    if ap is not None:
        changes.append(f"evaluate.average_precision={json.dumps(ap)}")
    if cross:
        changes.append(f"evaluate.cross={json.dumps(_places(cross))}")
    if suite or asked:
        chosen = list(dict.fromkeys([*(suite or ["clean"]), *asked]))
        changes.append(f"evaluate.suites={json.dumps(chosen)}")
    model, settings, _ = loaded(checkpoint, changes, data, reid=OF_REID if asked or ap is not None else "")
    finish(list(open_task(settings).measure(settings, model, device, limit, save)), as_json)


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
