"""The recipe of a person re-identification."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from ..recipe import Recipe, RecipeData, Train
from ..recipe.parts import SOME, Pixels, Radii, Strict, filled
from ..records.names import Ranking, cross_suite
from .kinds import AttackKind, Defence


class Place(Strict):
    """Where a data set is: a layout (``auto`` finds it) and its folder, or ``synthetic`` and a world."""

    name: str = "auto"
    root: str | None = None
    world: dict[str, Any] | None = Field(None, description="parameters of featmask.reid.synthetic.World")

    @field_validator("world")
    @classmethod
    def _world_can_be_rendered(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            from .synthetic import make_world

            make_world(value)
        return value

    @model_validator(mode="after")
    def _world_is_synthetic(self) -> Self:
        if self.world is not None and self.name != "synthetic":
            raise ValueError(f"world: only the data set 'synthetic' is rendered, this one is {self.name!r}")
        return self


class PeopleData(Place, RecipeData):
    """What is learned; see :func:`featmask.reid.people.load_people`."""

    height: int = Field(256, ge=16, le=2048)
    width: int = Field(128, ge=8, le=2048)
    validation: float = Field(0.0, ge=0, lt=1, description="share of the training persons that is held out")
    train_share: float = Field(1.0, gt=0, le=1)


class Augment(Strict):
    """What is done to training images; see :class:`featmask.data.Augment`."""

    flip: float = Field(0.5, ge=0, le=1)
    pad: int = Field(0, ge=0, description="pixels of padding, then a random crop of the old size")
    jitter: float = Field(0.0, ge=0, le=1)
    erasing: float = Field(0.0, ge=0, le=1, description="probability of random erasing")
    grey_patch: float = Field(0.0, ge=0, le=1, description="probability of a local grey patch (LGPR)")


class EmbedderModel(Strict):
    """What learns; see :func:`featmask.reid.models.build_embedder`."""

    name: str
    pretrained: bool = False
    last_stride: Literal[1, 2] = 2
    pool: Literal["gap", "gem"] = "gap"
    head: Literal["linear", "classblock", "bnneck", "pcb"] = "bnneck"
    bottleneck: int = Field(512, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)
    parts: int = Field(6, ge=2)


class Adversarial(Strict):
    """Adversarial metric training (GOAT and its kin): see :func:`featmask.reid.adversarial.adversarial_batch`."""

    kind: Defence = "goat"
    eps: Pixels = "5/255"
    steps: int = Field(7, ge=1)
    share: float = Field(1.0, gt=0, le=1, description="of a batch that is attacked")


class ReidTrain(Train):
    """How it learns."""

    images_per_person: int = Field(0, ge=0, description="K of P x K batches, P = batch_size / K; 0: shuffled images")
    losses: dict[str, dict[str, Any]] = Field(default={"cross_entropy": {}}, min_length=1)
    backbone_rate: float = Field(1.0, ge=0, description="learning rate of all but the head, as a share of lr")
    adversarial: Adversarial | None = None

    @model_validator(mode="before")
    @classmethod
    def _empty_losses(cls, raw: Any) -> Any:
        return filled(raw, "losses")

    @field_validator("losses")
    @classmethod
    def _losses_exist(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        from .losses import check_term

        for term in _terms(value):
            check_term(*term)
        return value

    @model_validator(mode="after")
    def _whole_batches(self) -> Self:
        images = self.images_per_person
        if images and self.batch_size % images:
            raise ValueError(f"images_per_person: a batch of {self.batch_size} is no multiple of {images} images")
        if images and (images == 1 or self.persons == 1):
            raise ValueError(
                f"images_per_person: expected batches of 2 or more images of each of 2 or more persons, got {images} "
                f"of {self.persons}"
            )
        return self

    @property
    def terms(self) -> list[tuple[str, Any, dict[str, Any]]]:
        """Name, weight and options of each loss."""
        return _terms(self.losses)

    @property
    def persons(self) -> int:
        """P of P x K batches; 0 where images are shuffled."""
        return self.batch_size // self.images_per_person if self.images_per_person else 0


def _terms(losses: dict[str, dict[str, Any]]) -> list[tuple[str, Any, dict[str, Any]]]:
    return [
        (name, options.get("weight", 1.0), {key: value for key, value in options.items() if key != "weight"})
        for name, options in losses.items()
    ]


class Rerank(Strict):
    """k-reciprocal re-ranking; see :func:`featmask.retrieval.rerank`."""

    k1: int = Field(20, ge=1)
    k2: int = Field(6, ge=1)
    lambda_: float = Field(0.3, ge=0, le=1)


class ReidEvaluate(Strict):
    """What is measured on query and gallery."""

    suites: Annotated[tuple[Ranking, ...], SOME] = ("clean",)
    average_precision: Literal["standard", "trapezoid"] = "standard"
    flip: bool = Field(True, description="features of the image and of its mirror, added")
    rerank: Rerank = Rerank()
    cross: dict[str, Place] = Field({}, description="other data sets to score on, by the name to show")
    attacks: Annotated[tuple[AttackKind, ...], SOME] = ("mifgsm", "sma", "fna")
    norm: Literal["linf", "l2"] = Field("linf", description="of each pixel's change, or of the whole image's")
    eps: Radii = ("5/255",)
    steps: int = Field(15, ge=1)
    guides: int = Field(4, ge=1)
    attack_queries: int | None = Field(None, ge=1, description="attack only so many queries; None: all")
    misranking_steps: int = Field(2000, ge=1, description="training of Mis-Ranking's generator")
    batch_size: int = Field(64, ge=1)

    @field_validator("cross")
    @classmethod
    def _names(cls, value: dict[str, Place]) -> dict[str, Place]:
        for name, place in value.items():
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(
                    f"the name of a data set stands in a file's name: letters, digits, - and _; got {name!r}"
                )
            if place.root is None and place.name != "synthetic":
                raise ValueError(f"{name}: expected a root, the folder that it lies in, or the name synthetic")
        # some file systems do not tell B from b
        if len({name.lower() for name in value}) < len(value):
            raise ValueError(f"expected names that differ in more than capitals, got {', '.join(value)}")
        return value

    @model_validator(mode="after")
    def _attacks_have_room(self) -> Self:
        for eps in self.eps:
            if self.norm == "linf" and Fraction(eps) > 1:
                raise ValueError(f"eps: expected pixels in [0, 1] such as 2/255, got {eps!r}; norm: l2 takes more")
            if "misranking" in self.attacks and not Fraction(eps):
                raise ValueError("eps: misranking trains a generator and needs a size above 0")
        if "misranking" in self.attacks and self.norm != "linf":
            raise ValueError(f"norm: misranking is bounded by linf alone, got {self.norm!r}; leave it out of attacks")
        return self

    @model_validator(mode="after")
    def _cross_names_something(self) -> Self:
        if "cross" in self.suites and not self.cross:
            raise ValueError("suites has cross: name the other data sets in cross, such as {b: {root: FOLDER}}")
        return self


class ReidRecipe(Recipe):
    """Persons, and images of them by several cameras."""

    trained_by: ClassVar[tuple[str, ...]] = (*Recipe.trained_by, "augment")
    open_to_methods: ClassVar[tuple[str, ...]] = (*Recipe.open_to_methods, "augment")

    searched: ClassVar[bool] = True

    task: Literal["reid"]
    data: PeopleData
    augment: Augment = Augment()
    model: EmbedderModel
    train: ReidTrain = ReidTrain()
    evaluate: ReidEvaluate = ReidEvaluate()

    def suite_names(self) -> list[str]:
        """The recipe's suites, ``cross`` by its data sets."""
        expanded = {"cross": [cross_suite(name) for name in self.evaluate.cross]}
        return [name for suite in self.evaluate.suites for name in expanded.get(suite, [suite])]

    def check(self) -> None:
        """Refuse to choose an epoch without anything to choose it on."""
        if self.train.select == "best" and not self.data.validation:
            raise ValueError("train.select best needs data.validation above 0: nothing is chosen on test persons")
