"""What is measured on a classifier: the suites of a recipe, and suites of a user's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from ..recipe.parts import SOME, Radii, Sides, Sizes, Strict

SuiteName = Literal["clean", "linf", "l2", "l1", "autoattack", "blackbox", "corruptions", "occlusion", "full"]
AttackName = Literal[
    "fgsm", "mifgsm", "pgd", "pgd-margin", "apgd", "apgd-margin", "apgd-dlr", "apgd-t", "square", "uniform", "gaussian"
]
Severity = Annotated[int, Field(ge=1, le=5)]


class Evaluate(Strict):
    """What is measured on the test part; see :class:`featmask.classification.suites.Options`."""

    suites: Annotated[tuple[SuiteName, ...], SOME] = ("clean", "linf")
    eps: Sizes = ("1/255", "2/255", "4/255")
    l2_eps: Radii = ("0.25", "0.5", "1")
    l1_eps: Radii = ("4", "8", "16")
    attacks: Annotated[tuple[AttackName, ...], SOME] = ("fgsm", "pgd", "apgd", "apgd-t")
    steps: int = Field(20, ge=1)
    restarts: int = Field(1, ge=1)
    queries: int = Field(1000, ge=1, description="of the square attack")
    refine: int = Field(5, ge=0, description="halvings around the smallest radius that flips a sample; 0: no search")
    squares: Sides = ("10%", "20%", "30%")
    corruptions: tuple[str, ...] = Field((), description="kinds; none named: all 15")
    severities: Annotated[tuple[Severity, ...], SOME] = (1, 2, 3, 4, 5)
    attack_samples: int | None = Field(None, ge=1, description="all but clean on so many test images; None: all")
    batch_size: int = Field(64, ge=1)

    @field_validator("corruptions")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _corruptions(value)


class Smallest(Strict):
    """The search of the smallest radius that flips a sample."""

    rounds: int = Field(5, ge=1)


class Corruptions(Strict):
    """Common corruptions; see :func:`featmask.data.corrupt`."""

    kinds: tuple[str, ...] = ()
    severities: Annotated[tuple[Severity, ...], SOME] = (1, 2, 3, 4, 5)

    @field_validator("kinds")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _corruptions(value)


class OwnSuite(Strict):
    """A suite of a user's own, in a YAML file.

    An entry of ``attacks`` has a ``kind`` and the keys of :class:`featmask.attacks.Attack` (with ``eps``, one or a
    list), of :class:`featmask.attacks.Region` (with ``size``, one or a list), or of ``autoattack`` (eps, norm,
    version).
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    note: str = ""
    attacks: tuple[dict[str, Any], ...] = ()
    corruptions: Corruptions | None = None
    smallest: Smallest | None = None

    @field_validator("name")
    @classmethod
    def _free(cls, value: str) -> str:
        if value in SuiteName.__args__:  # type: ignore[attr-defined]
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
        """The attacks, one a radius or size."""
        found = []
        for entry in self.attacks:
            key = "size" if "size" in entry else "eps"
            sizes = entry.get(key)
            for size in sizes if isinstance(sizes, list | tuple) else [sizes]:
                found.append({**entry, key: size} if size is not None else dict(entry))
        return found


def _corruptions(names: tuple[str, ...]) -> tuple[str, ...]:
    from ..data import CORRUPTIONS

    wrong = [name for name in names if name not in CORRUPTIONS]
    if wrong:
        raise ValueError(f"expected some of {', '.join(CORRUPTIONS)}; got {', '.join(wrong)}")
    return names
