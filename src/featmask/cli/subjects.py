"""From the command line to a trained model with its recipe, and from what was measured to files or a table."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import FeatmaskError
from .application import print_json, with_data

if TYPE_CHECKING:
    from torch import nn

    from ..evaluation import Evaluation
    from ..models import Normalized
    from ..recipe import Recipe
    from ..records.checkpoint import Header

Checkpoint = Annotated[Path, typer.Argument(help="A model.safetensors of a run.", metavar="CHECKPOINT")]
AnyModel = Annotated[
    Path,
    typer.Argument(
        help="A model.safetensors of a run; or, with --recipe, TorchScript (.pt, .ts), an exported program (.pt2) or "
        "ONNX (.onnx).",
        metavar="CHECKPOINT",
    ),
]
OtherRecipe = Annotated[
    Path | None, typer.Option("--recipe", help="For a model that featmask did not train: whose data it is measured on.")
]
Mean = Annotated[str | None, typer.Option(help="The same: what its input is normalised by, such as 0.485,0.456,0.406.")]
Std = Annotated[str | None, typer.Option(help="The same.")]
Logit = Annotated[bool, typer.Option("--single-logit", help="The same: two classes by the sign of one output.")]
Save = Annotated[Path | None, typer.Option(help="Write records and per-sample outcomes to this folder.")]
#: What a checkpoint's recipe may be changed in.
OPEN = ("data", "evaluate")
#: Files of models that featmask did not train.
FOREIGN = (".pt", ".pth", ".ts", ".torchscript", ".pt2", ".onnx")


@dataclass(frozen=True)
class Subject:
    """A model to be measured.

    Attributes:
        path: its file.
        model: takes pixels in [0, 1].
        recipe: of its data and of what is measured, as the command line changes it.
        header: a checkpoint's; None for a model that featmask did not train.
    """

    path: Path
    model: nn.Module
    recipe: Recipe
    header: Header | None

    def save(self, folder: Path, classes: Sequence[str]) -> None:
        """Write ``subject.json``: whose figures the records beside it are, and the commands that made them."""
        from ..records.subject import SUBJECT, SubjectRecord
        from ..utils.versions import environment

        before = SUBJECT.find(folder)
        commands = [] if before is None else before.command.splitlines()
        run = None if self.header is None else self.header.run
        record = SubjectRecord(
            title=self.path.name if run is None else f"{self.recipe.name}, {run.method}, seed {run.seed}",
            checkpoint=self.path.name,
            sha256=self._digest,
            method=run and run.method,
            seed=None if run is None else run.seed,
            recipe=self.recipe.plain(),
            data=self.recipe.data.name,
            classes=list(classes),
            dropped_fraction=run and run.dropped_fraction,
            environment=environment(self.recipe.task),
            command="\n".join(dict.fromkeys([*commands, command()])),
        )
        SUBJECT.write(folder, record)

    def check(self, folder: Path | None) -> None:
        """Refuse a folder with another model's records, before any time is spent.

        Raises:
            FeatmaskError: it holds such, or does not say whose.
        """
        from ..records.subject import SUBJECT

        known = None if folder is None else SUBJECT.find(folder)
        if known is not None and known.sha256 != self._digest:
            raise FeatmaskError(f"{folder} holds the records of another model; choose another folder")

    @cached_property
    def _digest(self) -> str:
        """Of the file, read once: it is compared before the work and written after it."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def read(path: Path, set_: list[str] | None, data: Path | None) -> Recipe:
    """A recipe as the command line changes it."""
    from ..study.fields import read_recipe

    settings = read_recipe(path, set_ or ())
    return settings if data is None else read_recipe(path, with_data(set_, data, settings.data.name))


def command() -> str:
    """What was typed."""
    return shlex.join(["featmask", *sys.argv[1:]])


def subject(
    path: Path,
    changes: list[str],
    data: Path | None,
    recipe: Path | None = None,
    mean: str | None = None,
    std: str | None = None,
    single_logit: bool = False,
) -> Subject:
    """A checkpoint of ours, or another model's file with the recipe of the data that it is measured on.

    Raises:
        FeatmaskError: a file that can't be read, or options of the one kind for the other.
    """
    if recipe is None:
        if path.suffix in FOREIGN:
            raise FeatmaskError(f"{path} was not trained by featmask: name the recipe of its data with --recipe")
        if mean is not None or std is not None:
            raise FeatmaskError(
                "--mean and --std are for models that featmask did not train; a checkpoint holds its own"
            )
        return Subject(path, *loaded(path, changes, data))
    from ..models.foreign import read_model

    settings = read(recipe, changes, data)
    model = read_model(path, numbers(mean, "--mean"), numbers(std, "--std"), single_logit=single_logit)
    return Subject(path, model, settings, None)


def task_of(path: Path, recipe: Path | None) -> str:
    """The field of a checkpoint, by its header, or of a recipe beside it; unknown ones are refused later."""
    from ..models import read_checkpoint
    from ..recipe import read_keys
    from ..study.fields import FIELDS

    if recipe is not None:
        raw = read_keys(recipe, "recipe", "name, data, model and methods")
    elif path.suffix in FOREIGN:
        return "classification"
    else:
        raw = read_checkpoint(path, header_only=True)[1].recipe
    task = raw.get("task", "classification")
    return task if task in FIELDS else "classification"


def numbers(text: str | None, option: str) -> list[float] | None:
    """Comma-separated numbers; None where nothing was given."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise FeatmaskError(f"{option}: expected numbers such as 0.5,0.5,0.5; got {text!r}") from error


def loaded(checkpoint: Path, changes: list[str], data: Path | None) -> tuple[Normalized, Recipe, Header]:
    """A checkpoint's model, its recipe as the command line changes it, and its header."""
    from ..recipe import override
    from ..study.fields import parse_recipe
    from ..study.run import load_model

    model, header = load_model(checkpoint)
    trained = header.recipe
    changed = override(trained, with_data(changes, data, trained["data"]["name"]))
    fixed = [key for key in (*trained, *changed) if key not in OPEN and changed.get(key) != trained.get(key)]
    if fixed:
        raise FeatmaskError(
            f"{checkpoint} is trained: of its recipe {' and '.join(OPEN)} can be changed, got a change of {fixed[0]}"
        )
    settings = parse_recipe(changed, f"the recipe of {checkpoint}, as you change it,")
    return model, settings.under(header.run.method), header


def finish(found: Sequence[Evaluation], as_json: bool) -> None:
    """Show what was measured."""
    suites = [evaluation.suite for evaluation in found]
    if as_json:
        print_json([asdict(suite) for suite in suites])
    else:
        from .terminal import print_suites

        print_suites(suites)
