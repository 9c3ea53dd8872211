"""What is measured on a classifier: the suites of a recipe, and suites of a user's own."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator
from typing_extensions import Self

from ..recipe.parts import SOME, Strict
from .suite_names import SUITES, check_recipe_suite
from .suites.options import CorruptionName, Severities, SuiteKeys

SuiteName = Annotated[str, AfterValidator(check_recipe_suite)]


class Evaluate(SuiteKeys):
    """What is measured on the test part."""

    suites: Annotated[tuple[SuiteName, ...], SOME] = ("clean", "linf")
    attack_samples: int | None = Field(None, ge=1, description="all but clean on so many test images; None: all")
    batch_size: int = Field(64, ge=1)


class Smallest(Strict):
    """The search of the smallest radius that flips a sample."""

    rounds: int = Field(5, ge=1)


class Corruptions(Strict):
    """Common corruptions; see :func:`featmask.data.corrupt`."""

    kinds: tuple[CorruptionName, ...] = ()
    severities: Severities = (1, 2, 3, 4, 5)


class OwnSuite(Strict):
    """A suite of a user's own, in a YAML file.

    An entry of ``attacks`` has a ``kind`` and the keys of :class:`featmask.attacks.Attack` (with ``eps``, one or a
    list), of :class:`featmask.attacks.Region` (with ``size``, one or a list), or of
    :class:`featmask.attacks.AutoAttack`.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    note: str = ""
    attacks: tuple[dict[str, Any], ...] = ()
    corruptions: Corruptions | None = None
    smallest: Smallest | None = None

    @field_validator("name")
    @classmethod
    def _free(cls, value: str) -> str:
        if value in SUITES:
            raise ValueError(f"{value} is a suite of featmask's own; choose another name")
        return value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.attacks and self.corruptions is None:
            raise ValueError("expected attacks, corruptions, or both")
        for place, entry in enumerate(self.attacks):
            if "kind" not in entry:
                raise ValueError(f"attacks.{place}: expected a kind such as pgd, square, patch or autoattack")
        return self

    def entries(self) -> list[dict[str, Any]]:
        """The attacks, one per radius or size."""
        found = []
        for entry in self.attacks:
            key = "size" if "size" in entry else "eps"
            sizes = entry.get(key)
            for size in sizes if isinstance(sizes, list | tuple) else [sizes]:
                found.append({**entry, key: size} if size is not None else dict(entry))
        return found
