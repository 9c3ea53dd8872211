"""The recipe of an image classification."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .base import Recipe
from .parts import SOME, Sizes, Strict, Train


class Data(Strict):
    """What is learned; see :func:`featmask.data.load_images`."""

    name: str
    root: str | None = None
    size: int | None = Field(None, ge=4, le=2048)
    augment: tuple[str, ...] = ()
    validation: float = Field(0.1, gt=0, lt=1)
    train_share: float = Field(1.0, gt=0, le=1)
    sample_weights: bool = False


class Model(Strict):
    """What learns; see :func:`featmask.models.build_model`."""

    name: str
    pretrained: bool = False


class ClassificationTrain(Train):
    """How it learns."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)


class Evaluate(Strict):
    """What is measured on the test part."""

    suites: Annotated[tuple[Literal["clean", "linf"], ...], SOME] = ("clean", "linf")
    eps: Sizes = ("1/255", "2/255", "4/255")
    steps: int = Field(10, ge=1)
    attack_samples: int | None = Field(None, ge=1, description="attack only so many test images; None: all")
    batch_size: int = Field(64, ge=1)


class ClassificationRecipe(Recipe):
    """Images and their classes."""

    task: Literal["classification"] = "classification"
    data: Data
    model: Model
    train: ClassificationTrain = ClassificationTrain()
    evaluate: Evaluate = Evaluate()
