"""The recipe of an image classification."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from ..recipe import Recipe, RecipeData, Train
from ..recipe.parts import SOME, Radius, Strict
from .suite_names import check_recipe_suite, expand
from .suites.options import SuiteKeys


class Data(RecipeData):
    """What is learned; see :func:`featmask.data.load_images`."""

    size: int | None = Field(None, ge=4, le=2048)
    augment: tuple[str, ...] = ()
    validation: float = Field(0.1, gt=0, lt=1)
    train_share: float = Field(1.0, gt=0, le=1)
    sample_weights: bool = False


class Model(Strict):
    """What learns; see :func:`featmask.models.build_model`."""

    name: str
    pretrained: bool = False


#: Keys of adversarial training that only some kinds have.
_KINDS = {"steps": ("pgd", "trades"), "beta": ("trades",), "replays": ("free",), "clean_share": ("pgd", "fast", "free")}


class Adversarial(Strict):
    """Adversarial training; see :mod:`featmask.classification.adversarial`."""

    kind: Literal["pgd", "trades", "free", "fast"] = "pgd"
    eps: Radius = "8/255"
    norm: Literal["linf", "l2"] = Field("linf", description="of each pixel's change, or of the whole image's")
    steps: int = Field(7, ge=1, description="of the ascent, by pgd and trades")
    step_size: Radius | None = Field(None, description="null: 2.5 * eps / steps; by fast 1.25 * eps, by free eps")
    beta: float = Field(6.0, ge=0, description="weight of trades' divergence")
    replays: int = Field(
        4,
        ge=2,
        description="how often free learns each batch in a row; an epoch keeps its number of steps and shows only "
        "1 / replays of the images, the next epoch the part after it: equal epochs cost about the same",
    )
    clean_share: float = Field(0.0, ge=0, lt=1, description="of a batch that stays clean; trades sees all of it clean")

    @model_validator(mode="after")
    def _sizes_mean_something(self) -> Self:
        if self.norm == "linf" and Fraction(self.eps) > 1:
            raise ValueError(f"eps: expected pixels in [0, 1] such as 8/255, got {self.eps!r}; norm: l2 takes more")
        if self.step_size is not None and not Fraction(self.step_size):
            raise ValueError("step_size: expected a size above 0, or null")
        return self

    @model_validator(mode="after")
    def _keys_of_the_kind(self) -> Self:
        for key, kinds in _KINDS.items():
            # not model_fields_set: a recipe that was written to a run's folder names every key
            if self.kind not in kinds and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: a key of {', '.join(kinds)}, which {self.kind} does not have")
        return self


class ClassificationTrain(Train):
    """How it learns."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    adversarial: Adversarial | None = None


SuiteName = Annotated[str, AfterValidator(check_recipe_suite)]


class Evaluate(SuiteKeys):
    """What is measured on the test part."""

    suites: Annotated[tuple[SuiteName, ...], SOME] = ("clean", "linf")
    attack_samples: int | None = Field(None, ge=1, description="all but clean on so many test images; None: all")
    batch_size: int = Field(64, ge=1)


class ClassificationRecipe(Recipe):
    """Images and their classes."""

    task: Literal["classification"] = "classification"
    data: Data
    model: Model
    train: ClassificationTrain = ClassificationTrain()
    evaluate: Evaluate = Evaluate()

    def suite_names(self) -> list[str]:
        """The recipe's suites, ``full`` spelled out."""
        return expand(self.evaluate.suites)
