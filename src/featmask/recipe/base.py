"""An experiment of any task: what is compared, how often, and how runs are recognised."""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar

from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from ..errors import FeatmaskError
from ..utils.mistakes import mistakes
from ..utils.source import code_version
from .parts import ChosenMethod, Method, Strict, Train, Tune, filled
from .reading import set_key


class RecipeData(Strict):
    """What every field's recipe says of its data."""

    name: str
    root: str | None = None
    validation: float = Field(0.0, ge=0, lt=1, description="share of the training part that is held out")


class Recipe(Strict):
    """An experiment: data, model, training, the methods to compare, and what to measure."""

    #: What the weights of a run depend on; what is measured or repeated is left out.
    trained_by: ClassVar[tuple[str, ...]] = ("data", "model", "at", "train", "methods")
    #: What a method may change for itself: never the data, nor what is measured.
    open_to_methods: ClassVar[tuple[str, ...]] = ("model", "train")

    #: Whether images are searched for, so that what models find can be drawn.
    searched: ClassVar[bool] = False

    task: str
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    note: str = ""
    data: RecipeData
    model: Strict
    at: str | tuple[str, ...] = "stem"
    train: Train = Train()
    methods: dict[str, Method] = Field(min_length=1)
    seeds: int = Field(1, ge=1)
    evaluate: Strict
    tune: Tune = Tune()

    @model_validator(mode="before")
    @classmethod
    def _empty_methods(cls, raw: Any) -> Any:
        return filled(raw, "methods")

    @model_validator(mode="after")
    def _methods_make_recipes(self) -> Self:
        self.check()  # or else its mistakes would be called the first method's
        wrong = self._wrong_methods()
        if wrong:
            raise ValueError("\n  ".join(wrong))
        for name, method in self.methods.items():
            for key in method.set:
                part, _, inner = key.partition(".")
                if part not in self.open_to_methods or not inner:
                    allowed = ", ".join(f"{part}.KEY" for part in self.open_to_methods)
                    raise ValueError(f"methods.{name}.set: a method may change {allowed}, got {key!r}")
            try:
                self.under(name)
            except ValidationError as error:
                raise ValueError(f"methods.{name}.set: {'; '.join(mistakes(error, type(self)))}") from error
            except FeatmaskError as error:
                raise ValueError(f"methods.{name}.set: {error}") from error
            self.method(name)
        return self

    def _wrong_methods(self) -> list[str]:
        """Layers, options and spaces against what the family's members take, of all methods at once."""
        from ..family import wrong_method

        found = []
        for name, method in self.methods.items():
            try:
                lines = wrong_method(method.layer or name, method.options, method.space or {})
                found += [f"methods.{name}.{line}" for line in lines]
            except FeatmaskError as error:
                found.append(f"methods.{name}{'.layer' if method.layer else ''}: {error}")
        return found

    def suite_names(self) -> list[str]:
        """Names of the records that are measured."""
        raise NotImplementedError

    def check(self) -> None:
        """Refuse parts that do not fit together.

        Raises:
            ValueError: for pydantic.
        """

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(mode="json")

    def key(self) -> str:
        """Eight hexadecimal digits of everything that training depends on: the recipe's keys, and the code."""
        relevant = {k: v for k, v in self.plain().items() if k in self.trained_by} | {"code": code_version(self.task)}
        for method in relevant["methods"].values():
            del method["space"]  # where options are searched for; what was found stands in ``options``
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:8]

    def method(self, name: str) -> ChosenMethod:
        """A method with its layer and place filled in; any member of the family works, named in the recipe or not.

        Raises:
            FeatmaskError: it has a schedule, but nothing that could follow one.
        """
        found = self.methods.get(name, Method())
        layer = found.layer or name
        schedule = found.schedule if found.schedule and found.schedule.kind != "constant" else None
        if schedule is not None:
            from ..family import probability_of

            try:
                probability_of(layer)
            except FeatmaskError as error:
                raise FeatmaskError(f"methods.{name}.schedule: {error}") from error
        return ChosenMethod(layer=layer, at=found.at or self.at, options=found.options, schedule=schedule)

    def under(self, name: str) -> Self:
        """The recipe as a method changes it for itself."""
        changes = self.methods.get(name, Method()).set
        if not changes:
            return self
        raw = self.plain()
        for method in raw["methods"].values():
            method["set"] = {}  # applied; what is left is one method's own recipe
        for key, value in changes.items():
            set_key(raw, key, value)
        return type(self).model_validate(raw)
