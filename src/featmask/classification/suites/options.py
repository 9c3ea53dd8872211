"""What suites are called, and what can be set in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from ...errors import FeatmaskError
from ...records import names
from ...utils.radii import radius, share

#: The suites of a classifier; ``full`` stands for those of FULL.
SUITES = (*names.SUITES, "full")
FULL = ("clean", "linf", "l2", "autoattack", "corruptions", "occlusion")
#: The same for a model without gradients.
FULL_BLACK_BOX = ("clean", "blackbox", "corruptions", "occlusion")


@dataclass(frozen=True)
class Options:
    """Settings of the suites; the keys of a recipe's ``evaluate``.

    Attributes:
        eps: radii of the ``linf``, ``autoattack`` and ``blackbox`` suites, in pixels.
        l2_eps: radii of the ``l2`` suite: of the whole image's change.
        l1_eps: the same of the ``l1`` suite.
        attacks: of the norm suites, by name: fgsm, mifgsm, pgd, pgd-margin, apgd, apgd-margin, apgd-dlr, apgd-t
            (targeted, on DLR where there are four classes, else on the margin), square, uniform, gaussian.
        steps: gradient steps a restart.
        restarts: random starts.
        queries: of ``square``.
        refine: halvings of the bracket around the smallest radius that flips a sample; 0: no search.
        squares: sides of hidden squares, as shares of the shorter side.
        corruptions: kinds; empty: all 15.
        severities: of 1 to 5.
        eot: passes a gradient is averaged over, if the model may be random.
        passes: passes that an outcome is the share of, if the model may be random.
    """

    eps: Sequence[str] = ("1/255", "2/255", "4/255")
    l2_eps: Sequence[str] = ("0.25", "0.5", "1")
    l1_eps: Sequence[str] = ("4", "8", "16")
    attacks: Sequence[str] = ("fgsm", "pgd", "apgd", "apgd-t")
    steps: int = 20
    restarts: int = 1
    queries: int = 1000
    refine: int = 5
    squares: Sequence[str] = ("10%", "20%", "30%")
    corruptions: Sequence[str] = ()
    severities: Sequence[int] = (1, 2, 3, 4, 5)
    eot: int = 10
    passes: int = 20

    def __post_init__(self) -> None:
        for key in ("steps", "restarts", "queries", "eot", "passes"):
            if getattr(self, key) < 1:
                raise FeatmaskError(f"{key}: expected 1 or more, got {getattr(self, key)}")
        if self.refine < 0:
            raise FeatmaskError(f"refine: expected 0 or more halvings, got {self.refine}")
        for key in ("eps", "l2_eps", "l1_eps", "squares"):
            if not getattr(self, key):
                raise FeatmaskError(f"{key}: expected one or more, got none")
            for value in getattr(self, key):
                share(value) if key == "squares" else radius(value, key)
        wrong = [severity for severity in self.severities if severity not in range(1, 6)]
        if wrong or not self.severities:
            raise FeatmaskError(f"severities: expected some of 1 to 5, got {list(self.severities)}")

    @classmethod
    def of(cls, settings: Any) -> Options:
        """Those of an object with attributes of the same names, a recipe's ``evaluate`` for example."""
        return cls(**{f.name: getattr(settings, f.name) for f in fields(cls) if hasattr(settings, f.name)})


def expand(suites: str | Sequence[str], black_box: bool = False) -> list[str]:
    """Names with ``full`` spelled out, each once.

    Raises:
        FeatmaskError: an unknown suite, or none.
    """
    asked = [suites] if isinstance(suites, str) else list(suites)
    found: list[str] = []
    for name in asked:
        if name not in SUITES:
            raise FeatmaskError(
                f"unknown suite {name!r}; expected one of: {', '.join(SUITES)}, or a file such as mine.yaml"
            )
        found += (FULL_BLACK_BOX if black_box else FULL) if name == "full" else [name]
    if not found:
        raise FeatmaskError("expected one suite or more, got none")
    return list(dict.fromkeys(found))
