"""The one schema of an experiment. Unknown keys fail; every key can be set from the command line."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import FeatmaskError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Strict):
    """What is learned; see :func:`featmask.data.load_images`."""

    name: str
    root: str | None = None
    size: int | None = Field(None, ge=4, le=2048)
    augment: tuple[str, ...] = ()
    validation: float = Field(0.1, gt=0, lt=1)
    train_share: float = Field(1.0, gt=0, le=1)
    sample_weights: bool = False


class Model(_Strict):
    """What learns; see :func:`featmask.models.build_model`."""

    name: str
    pretrained: bool = False


class Train(_Strict):
    """How it learns."""

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(32, ge=2)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.05, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["constant", "cosine", "steps"] = "cosine"
    milestones: tuple[float, ...] = Field((), description="epochs after which the rate is multiplied by gamma")
    gamma: float = Field(0.1, gt=0, le=1)
    warmup_epochs: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    amp: Literal["no", "bf16"] = "no"
    channels_last: bool = True
    ema: float = Field(0.0, ge=0, lt=1, description="decay a step of the averaged weights; 0: no averaging")
    clip_grad: float | None = Field(None, gt=0, description="largest gradient norm")
    select: Literal["last", "best"] = Field("last", description="the epoch that is kept; best: by validation accuracy")
    workers: int = Field(0, ge=0)
    tensorboard: bool = True


class Method(_Strict):
    """A regulariser: a member of the family, where it sits, its options. ``layer`` defaults to the method's name."""

    layer: str | None = None
    at: str | tuple[str, ...] | None = None
    options: dict[str, Any] = {}


class ChosenMethod(_Strict):
    """A method with nothing left open."""

    layer: str
    at: str | tuple[str, ...]
    options: dict[str, Any]


class Evaluate(_Strict):
    """What is measured on the test part."""

    suites: tuple[Literal["clean", "linf"], ...] = ("clean", "linf")
    eps: tuple[str, ...] = ("1/255", "2/255", "4/255")
    steps: int = Field(10, ge=1)
    attack_samples: int | None = Field(None, ge=1, description="attack only so many test images; None: all")
    batch_size: int = Field(64, ge=1)

    @field_validator("eps")
    @classmethod
    def _fractions(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            try:
                inside = 0 <= Fraction(value) <= 1
            except (ValueError, ZeroDivisionError):
                inside = False
            if not inside:
                raise ValueError(f"expected pixels in [0, 1] such as 2/255, got {value!r}")
        return values


class Recipe(_Strict):
    """An experiment: data, model, training, the methods to compare, and what to measure."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    note: str = ""
    data: Data
    model: Model
    at: str | tuple[str, ...] = "stem"
    train: Train = Train()
    methods: dict[str, Method] = Field(min_length=1)
    seeds: int = Field(1, ge=1)
    evaluate: Evaluate = Evaluate()

    @model_validator(mode="before")
    @classmethod
    def _empty_methods(cls, raw: Any) -> Any:
        # "lfm:" with nothing behind it reads as null in YAML and means the defaults
        if isinstance(raw, dict) and isinstance(raw.get("methods"), dict):
            raw = {**raw, "methods": {k: {} if v is None else v for k, v in raw["methods"].items()}}
        return raw

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(mode="json")

    def key(self) -> str:
        """Eight hexadecimal digits of everything that training depends on; what is measured or repeated is left out."""
        relevant = {k: v for k, v in self.plain().items() if k in ("data", "model", "at", "train", "methods")}
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:8]

    def method(self, name: str) -> ChosenMethod:
        """A method with its layer and place filled in; any member of the family works, named in the recipe or not."""
        found = self.methods.get(name, Method())
        return ChosenMethod(layer=found.layer or name, at=found.at or self.at, options=found.options)


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply ``key=value`` overrides such as ``train.epochs=5`` (values are YAML).

    Raises:
        FeatmaskError: no such file, not YAML, an unknown key or a value out of range, each with its place.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FeatmaskError(f"cannot read the recipe {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FeatmaskError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise FeatmaskError(f"{path}: expected keys such as name, data, model and methods")
    return parse_recipe(override(raw, overrides), str(path))


def parse_recipe(raw: dict[str, Any], source: str) -> Recipe:
    """Check a recipe that was read from ``source``."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            place = ".".join(str(part) for part in problem["loc"])
            known = _known(problem["loc"]) if problem["type"] == "extra_forbidden" else ""
            got = "" if problem["type"] in ("missing", "extra_forbidden") else f", got {problem['input']!r}"
            lines.append(f"  {place}: {problem['msg']}{got}{known}")
        raise FeatmaskError(f"{source} is not a valid recipe:\n" + "\n".join(lines)) from error


def _known(loc: tuple[int | str, ...]) -> str:
    """The keys that exist where an unknown one was met."""
    model: Any = Recipe
    for part in loc[:-1]:
        model = Method if model is Recipe and part == "methods" else model
        field = getattr(model, "model_fields", {}).get(part)
        if field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return f"; known here: {', '.join(model.model_fields)}"


def override(raw: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A copy of a recipe's keys with ``key=value`` changes applied, such as ``train.epochs=5`` (values are YAML).

    Raises:
        FeatmaskError: not of that form, or a path through something that holds no keys.
    """
    changed = copy.deepcopy(raw)
    for change in changes:
        _apply(changed, change)
    return changed


def _apply(raw: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise FeatmaskError(f"expected key=value such as train.epochs=5, got {change!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FeatmaskError(f"the value of {change!r} is not YAML: {error}") from error
    *path, last = key.split(".")
    place = raw
    for part in path:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise FeatmaskError(f"{change!r}: {part!r} holds a value, not keys")
    place[last] = value
