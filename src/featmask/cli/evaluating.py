"""Verbs that measure a trained model: suites, and the doctor's checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..classification.suite_names import SUITES
from ..errors import FeatmaskError
from .application import AsJson, Data, Device, Set, app, check_folder, print_json
from .subjects import AnyModel, Logit, Mean, OtherRecipe, Save, Std, command, finish, loaded, subject, task_of

if TYPE_CHECKING:
    from ..study.fields import Field

#: The doctor's radius where none is named, by the norm.
RADII = {"linf": "8/255", "l2": "0.5", "l1": "12"}


@app.command()
def evaluate(
    checkpoint: AnyModel,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Of classification {', '.join(SUITES)}, "
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
    from ..study.fields import FIELDS, open_task

    check_folder(save, "--save")
    field = FIELDS[task_of(checkpoint, recipe)]
    given = dict[str, Any](ood=ood, corrupted=corrupted, surrogate=surrogate, rerank=rerank, ap=ap, cross=cross)
    _check_options({name for name, value in given.items() if value}, field, checkpoint, recipe)
    if surrogate is not None:
        given["surrogate"] = loaded(surrogate, [], None)[0]
    changes, asked = field.asked(suite, **{name: given[name] for name in field.options})
    found = subject(checkpoint, [*(set_ or []), *changes], data, recipe, mean, std, single_logit)
    found.check(save)
    task = open_task(found.recipe, measured=False)
    if found.header is not None:
        task.check(found.header, str(found.path))
    measured = list(task.measure(found.recipe, found.model, device, limit, save, **asked))
    if save is not None:
        found.save(save, task.about().get("classes", ()))
    finish(measured, as_json)
    if save is not None and not as_json:
        print(f"records: {save}" + (f"; a page of them: featmask report {save}" if field.page else ""))


def _check_options(given: set[str], field: Field, checkpoint: Path, recipe: Path | None) -> None:
    """Refuse options of another field before anything is read."""
    from ..study.fields import FIELDS

    for other in FIELDS.values():
        wrong = [f"--{name}" for name in other.options if name in given and name not in field.options]
        if wrong:
            raise FeatmaskError(f"{', '.join(wrong)}: of {other.title}; {checkpoint} is of {field.title}")
    if recipe is not None and not field.foreign:
        able = ", ".join(other.title for other in FIELDS.values() if other.foreign)
        raise FeatmaskError(f"--recipe: models that featmask did not train can be measured in {able} alone")


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
    from ..classification.recipe import ClassificationRecipe
    from ..classification.task import open_task
    from ..doctor import examine
    from ..records.doctor import DOCTOR
    from ..study.fields import recipe_of
    from ..utils.devices import pick_device

    check_folder(save, "--save")
    found = subject(checkpoint, list(set_ or []), data, recipe, mean, std, single_logit)
    found.check(save)
    settings = recipe_of(ClassificationRecipe, found.recipe, "featmask doctor")
    task = open_task(settings, measured=False)
    if found.header is not None:
        task.check(found.header, str(found.path))
    diagnosis = examine(
        found.model.eval() if found.header is not None else found.model,
        task.splits.test.head(samples),
        eps=eps or RADII.get(norm, RADII["linf"]),
        norm=cast(Any, norm),  # examine checks it
        samples=samples,
        surrogate=None if surrogate is None else loaded(surrogate, [], None)[0],
        device=pick_device(device),
        adversarially_trained=None if found.header is None else settings.train.adversarial is not None,
    )
    record = diagnosis.record(command())
    if save is not None:
        DOCTOR.write(save, record)
        found.save(save, task.splits.classes)
    if as_json:
        print_json(DOCTOR.plain(record))
    else:
        from .terminal import print_diagnosis

        print_diagnosis(record)
    if not diagnosis.trusted:
        raise typer.Exit(1)
