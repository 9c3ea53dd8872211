"""What can be set in the suites: keys of a recipe's ``evaluate``, keywords of ``featmask.evaluate``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from ...attacks.registry import check_preset
from ...errors import FeatmaskError, listed
from ...recipe.parts import SOME, Radii, Sides, Sizes, Strict
from ...utils.mistakes import mistakes


def _check_corruption(name: str) -> str:
    from ...data import CORRUPTIONS

    if name not in CORRUPTIONS:
        raise ValueError(f"expected some of {', '.join(CORRUPTIONS)}; got {name}")
    return name


AttackName = Annotated[str, AfterValidator(check_preset)]
CorruptionName = Annotated[str, AfterValidator(_check_corruption)]
Severities = Annotated[tuple[Annotated[int, Field(ge=1, le=5)], ...], SOME]


class SuiteKeys(Strict):
    """Settings of the suites.

    Attributes:
        eps: radii of the ``linf``, ``autoattack``, ``blackbox`` and ``transfer`` suites, in pixels.
        l2_eps: radii of the ``l2`` suite: of the whole image's change.
        l1_eps: the same of the ``l1`` suite.
        attacks: of the norm suites, by name: fgsm, mifgsm, pgd, pgd-margin, apgd, apgd-margin, apgd-dlr, apgd-t
            (targeted, on DLR where there are four classes, else on the margin), square, uniform, gaussian.
        steps: gradient steps per restart.
        restarts: random starts.
        queries: of ``square``.
        refine: halvings of the bracket around the smallest radius that flips a sample; 0: no search.
        squares: sides of hidden squares, as shares of the shorter side.
        corruptions: kinds; empty: all 15.
        severities: of 1 to 5.
    """

    eps: Sizes = ("1/255", "2/255", "4/255")
    l2_eps: Radii = ("0.25", "0.5", "1")
    l1_eps: Radii = ("4", "8", "16")
    attacks: Annotated[tuple[AttackName, ...], SOME] = ("fgsm", "pgd", "apgd", "apgd-t")
    steps: int = Field(20, ge=1)
    restarts: int = Field(1, ge=1)
    queries: int = Field(1000, ge=1)
    refine: int = Field(5, ge=0)
    squares: Sides = ("10%", "20%", "30%")
    corruptions: tuple[CorruptionName, ...] = ()
    severities: Severities = (1, 2, 3, 4, 5)


class SuiteOptions(SuiteKeys):
    """Settings of the suites in Python: ``SuiteKeys``, and two for models that stay random in eval mode.

    Attributes:
        eot: passes that a gradient is averaged over.
        passes: passes that an outcome is the share of.

    Raises:
        FeatmaskError: an unknown setting, or a value out of range.
    """

    eot: int = Field(10, ge=1)
    passes: int = Field(20, ge=1)

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise FeatmaskError(f"settings of the suites:{listed(mistakes(error, type(self)))}") from error

    @classmethod
    def of(cls, keys: SuiteKeys) -> SuiteOptions:
        """Those of a recipe's ``evaluate``."""
        return cls(**keys.model_dump(include=set(SuiteKeys.model_fields)))

    def but(self, **settings: Any) -> SuiteOptions:
        """The same with other values of some settings."""
        return SuiteOptions(**{**self.model_dump(), **settings})
