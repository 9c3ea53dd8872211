"""What recipes of every task share: how a model learns, and the methods that are compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..errors import FeatmaskError
from ..utils.radii import fraction, number, share


class Strict(BaseModel):
    """Unknown keys fail, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Train(Strict):
    """How it learns."""

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(32, ge=2)
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(0.05, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    decay_all: bool = Field(False, description="decay biases and norms too")
    schedule: Literal["constant", "cosine", "steps"] = "cosine"
    milestones: tuple[float, ...] = Field((), description="epochs after which the rate is multiplied by gamma")
    gamma: float = Field(0.1, gt=0, le=1)
    warmup_epochs: float = Field(0.0, ge=0)
    warmup_steps: int = Field(0, ge=0, description="the same in steps; give one of the two")
    warmup_start: float = Field(0.0, ge=0, lt=1, description="share of the rate that the warm-up starts from")
    warmup_of: Literal["rate", "loss"] = Field("rate", description="what grows: the learning rate, or the loss")
    amp: Literal["no", "bf16"] = "no"
    channels_last: bool = True
    ema: float = Field(0.0, ge=0, lt=1, description="decay per step of the averaged weights; 0: no averaging")
    clip_grad: float | None = Field(None, gt=0, description="largest gradient norm")
    select: Literal["last", "best"] = Field("last", description="the epoch that is kept; best: on validation data")
    workers: int = Field(0, ge=0)
    tensorboard: bool = True

    @model_validator(mode="after")
    def _one_warmup(self) -> Train:
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("give warmup_epochs or warmup_steps, not both")
        return self


class Schedule(Strict):
    """How a method's probability rises to its full value; see :mod:`featmask.training.schedules`."""

    kind: Literal["constant", "ramp", "cosine"] = "constant"
    epochs: float = Field(
        5.0, gt=0, allow_inf_nan=False, description="until p is reached; a shorter training never reaches it"
    )
    start: float = Field(0.0, ge=0, le=1, description="share of p that training begins with")

    @model_validator(mode="after")
    def _keys_of_the_kind(self) -> Schedule:
        fields = type(self).model_fields  # not model_fields_set: a recipe in a run's folder names every key
        if self.kind == "constant" and any(getattr(self, key) != fields[key].default for key in ("epochs", "start")):
            raise ValueError("epochs, start: keys of ramp and cosine, which constant does not have")
        return self


class Method(Strict):
    """A regulariser: a member of the family, where it sits, its options. ``layer`` defaults to the method's name.

    ``set`` changes other keys of the recipe for this method alone, such as ``train.label_smoothing: 0.1``: so a recipe
    compares with what is no layer (an augmentation, a loss, adversarial training), alone or together with one.
    ``schedule`` lets its probability rise over training, such as ``{kind: ramp, epochs: 5}``.
    ``space`` says where ``compare --tune`` looks for options; see :mod:`featmask.study.tune.space`.
    """

    layer: str | None = None
    at: str | tuple[str, ...] | None = None
    options: dict[str, Any] = {}
    schedule: Schedule | None = Field(None, description="null: p stays what it is")
    set: dict[str, Any] = {}
    space: dict[str, Any] | None = Field(None, description="null: the family's own; {}: nothing is searched")


class Tune(Strict):
    """How options are searched for by ``compare --tune``: trials are trained, and judged on validation data alone."""

    at: tuple[str | tuple[str, ...], ...] = Field((), description="places to choose from; none: where the method sits")
    epochs: int | None = Field(None, ge=1, description="of a trial; null: as many as a run")
    seed: int = Field(1000, ge=0, description="of every trial; no seed of the comparison")


class ChosenMethod(Strict):
    """A method with nothing left open."""

    layer: str
    at: str | tuple[str, ...]
    options: dict[str, Any]
    schedule: Schedule | None = None


def _size(value: Any, *, most: float = math.inf, wanted: str = "a size of 0 or more") -> str:
    if isinstance(value, bool) or not 0 <= number(fraction, value) <= most:
        raise ValueError(f"expected {wanted} such as 2/255, got {value!r}")
    text = str(value)
    # what reads a recipe's sizes later reads fractions of whole numbers and decimals
    return str(fraction(text)) if "/" in text and "." in text else text


def _side(value: Any) -> str:
    try:
        share(value)
    except FeatmaskError as error:
        raise ValueError(str(error).removeprefix("size: ")) from error
    return str(value)


def _some(key: Callable[[Any], Any]) -> AfterValidator:
    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        # no Field(min_length=1): it would also complain of a list whose one item is refused already
        if not values:
            raise ValueError("expected one or more, got none")
        keys = [key(value) for value in values]
        for place, value in enumerate(values):
            if keys[place] in keys[:place]:
                raise ValueError(f"expected each once, got {value!r} again")
        return values

    return AfterValidator(check)


#: Of a tuple of names: one or more, none of them twice.
SOME = _some(str)
#: A size in pixels: a share of their range, as text, so that a fraction stays one.
Pixels = Annotated[str, BeforeValidator(partial(_size, most=1, wanted="pixels in [0, 1]"))]
#: One size or more, none of them twice, nor by another name (5/255 and 1/51).
Sizes = Annotated[tuple[Pixels, ...], _some(Fraction)]
#: A size whose norm says how large it may be.
Radius = Annotated[str, BeforeValidator(_size)]
#: One such size or more.
Radii = Annotated[tuple[Radius, ...], _some(Fraction)]

#: Sides of squares, as shares of an image's shorter side, none of them twice.
Sides = Annotated[tuple[Annotated[str, BeforeValidator(_side)], ...], _some(share)]


def filled(raw: Any, key: str) -> Any:
    """A recipe's raw keys with empty entries of a mapping filled in: ``lfm:`` with nothing behind it reads as null in
    YAML and means the defaults.
    """
    if isinstance(raw, dict) and isinstance(raw.get(key), dict):
        return {**raw, key: {name: {} if value is None else value for name, value in raw[key].items()}}
    return raw
