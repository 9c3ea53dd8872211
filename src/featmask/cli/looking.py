"""Verbs that show something: what a method hides, and where a mask can go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .application import Data, RecipeFile, Set, app, check_picture, names
from .subjects import read


@app.command()
def masks(
    recipe: RecipeFile,
    methods: Annotated[str | None, typer.Option(help="Comma-separated; default: all of the recipe that mask.")] = None,
    images: Annotated[int, typer.Option(help="How many images.", min=1, max=32)] = 6,
    set_: Set = None,
    data: Data = None,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("masks.png"),
) -> None:
    """Draw what each method hides, on feature maps of real images."""
    from ..study.fields import open_task
    from ..study.pictures import save_masks

    check_picture(out, "--out")
    settings = read(recipe, set_, data)
    chosen = names(methods) or [name for name in settings.methods if settings.method(name).layer != "none"]
    save_masks(settings, open_task(settings, measured=False), out, methods=chosen, count=images)
    print(out)


@app.command()
def points(
    model: Annotated[str, typer.Argument(help="A timm model, torchvision:NAME, or resnet8 and its kin.")],
    size: Annotated[int | None, typer.Option(help="Image size in pixels.", min=8)] = None,
) -> None:
    """List the shallow places of a model where a mask can go."""
    import torch

    from ..insert import shallow_points
    from ..models import build_model

    example = None if size is None else torch.zeros(1, 3, size, size)
    for point in shallow_points(build_model(model, num_classes=10), example=example):
        print(point)
