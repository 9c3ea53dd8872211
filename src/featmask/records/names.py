"""Names on disk: how those of figures, per-sample columns, attacks and suites are written, and taken apart again.

A figure is named by what was done to the images, what is counted and how large the change was::

    accuracy, mAP, median_eps      a figure alone
    pgd-margin-l2@0.5              accuracy after an attack of a size: a radius, or a side such as 20%
    fna.mAP@5/255, clean.mAP       a figure of a ranking after an attack of a size, and of the same queries before
    fog:3, fog, corrupted          accuracy after a corruption at a severity; means over severities, over everything

An attack's kind is itself several words: ``transfer-apgd-dlr-t-l2`` is Auto-PGD on the loss DLR with targets, in L2,
made on another model. No other module takes such names apart; this one needs the standard library alone.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, get_args

#: Suites of a classifier, in the order in which they are shown.
Suite = Literal["clean", "linf", "l2", "l1", "autoattack", "blackbox", "transfer", "corruptions", "occlusion"]
SUITES: tuple[str, ...] = get_args(Suite)
#: Suites of rankings, in theirs; ``cross`` stands for the records of all other data sets.
Ranking = Literal["clean", "reranked", "cross", "attack_query", "attack_gallery"]
RANKINGS: tuple[str, ...] = get_args(Ranking)
#: The fifteen of Hendrycks and Dietterich 2019 in their groups and in the published order. What is drawn for an image
#: depends on a name's place in it, so it never changes.
CORRUPTIONS: dict[str, tuple[str, ...]] = {
    "Noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "Blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "Weather": ("snow", "frost", "fog", "brightness"),
    "Digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
#: What attacks do, as far as a reader must know it: look at nothing; follow the plain gradient; are strong enough that
#: what they leave is not called an upper bound of FGSM and PGD; choose guide images by true identities; take no steps.
NOISE = ("uniform", "gaussian")
FIRST_ORDER = ("fgsm", "pgd", "ifgsm", "mifgsm")
STRONG = ("autoattack", "apgd", "square")
GUIDED = ("fgsm", "ifgsm", "mifgsm", "fna")
STEPLESS = ("fgsm", "occlusion", "erasing")
#: In place of an attack's kind: the lowest outcome of each sample over attacks, and the same samples before.
WORST, CLEAN = "worst", "clean"

_TRANSFER, _CROSS, _ATTACKED, _ROUNDED = "transfer-", "cross_", "attack_", "8-bit "
_NORMS = ("l2", "l1")
#: Of rankings; the last two are those of single queries.
_MEASURE = re.compile(r"rank\d{1,4}|mAP|mINP|ap|inp", re.ASCII)
_COLUMNS = {"mAP": "ap", "mINP": "inp", "accuracy": "correct"}
_FIGURES = {column: figure for figure, column in _COLUMNS.items()}


class Kind(NamedTuple):
    """An attack without its size.

    Attributes:
        base: the attack: ``apgd``, ``occlusion``, also ``worst`` and ``clean``.
        variants: its loss, its targets, what fills a square, ...: ``("dlr", "t")``.
        norm: of its ball.
        transferred: made on another model.
    """

    base: str
    variants: tuple[str, ...] = ()
    norm: str = "linf"
    transferred: bool = False

    @classmethod
    def parse(cls, text: str) -> Kind:
        """Take ``transfer-apgd-dlr-t-l2`` apart."""
        base, *variants = text.removeprefix(_TRANSFER).split("-")
        norm = variants.pop() if variants and variants[-1] in _NORMS else "linf"
        return cls(base, tuple(variants), norm, text.startswith(_TRANSFER))

    def __str__(self) -> str:
        norm = (self.norm,) if self.norm in _NORMS else ()
        return _TRANSFER * self.transferred + "-".join((self.base, *self.variants, *norm))

    @property
    def without_norm(self) -> str:
        """``apgd-dlr-t`` for ``apgd-dlr-t-l2``."""
        return str(self._replace(norm="linf"))

    def at(self, size: str) -> str:
        """The name with a size, ``pgd-margin-l2@0.5``: of a column, and of the figure that is its mean."""
        return str(Name(str(self), size=size))


class Name(NamedTuple):
    """A figure's or a per-sample column's name.

    Attributes:
        kind: what was done to the images: an attack's kind or a corruption; of a figure alone its own name.
        measure: what is counted of a ranking (``mAP``, ``rank1``; of columns ``ap``); empty for accuracy.
        size: of an attack, as it was written.
        severity: of a corruption.
    """

    kind: str = ""
    measure: str = ""
    size: str = ""
    severity: str = ""

    @classmethod
    def parse(cls, text: str) -> Name:
        """Take ``fna.mAP@5/255`` or ``fog:3`` apart."""
        head, _, size = text.partition("@")
        kind, _, last = head.rpartition(".")
        if _MEASURE.fullmatch(last):
            return cls(kind, last, size)
        kind, _, level = head.partition(":")
        return cls(kind, severity=level) if kind and level.isdecimal() and not size else cls(head, size=size)

    def __str__(self) -> str:
        head = ".".join(filter(None, (self.kind, self.measure)))
        return head + (f"@{self.size}" if self.size else "") + (f":{self.severity}" if self.severity else "")


def ranking_name(attack: str, measure: str) -> str:
    """``fna.ap@5/255`` for ``fna@5/255``: a column of a ranking after an attack."""
    return str(Name.parse(attack)._replace(measure=measure))


def worst_name(attack: str, measure: str = "") -> str:
    """``worst-l2@0.5`` for ``pgd-margin-l2@0.5``; of rankings, whose attacks all have one norm, ``worst.ap@0.5``."""
    kind, _, size, _ = Name.parse(attack)
    worst = Kind(WORST, norm="linf" if measure else Kind.parse(kind).norm)
    return str(Name(str(worst), measure, size))


def corruption_name(kind: str, severity: int | str) -> str:
    """``fog:3``."""
    return str(Name(kind, severity=str(severity)))


def transferred(attack: str) -> str:
    """The name of an attack that is made on another model."""
    return _TRANSFER + attack


def column_of(figure: str) -> str:
    """The per-sample column that a figure is the mean of: ``fna.ap@5/255`` for ``fna.mAP@5/255``."""
    return _renamed(figure, _COLUMNS)


def figure_of(column: str) -> str:
    """The figure that is a column's mean: ``fna.mAP@5/255`` for ``fna.ap@5/255``."""
    return _renamed(column, _FIGURES)


def _renamed(text: str, names: dict[str, str]) -> str:
    name = Name.parse(text)
    return str(name._replace(kind=names.get(name.kind, name.kind), measure=names.get(name.measure, name.measure)))


def rounded_column(attack: str) -> str:
    """The column of an attack whose images were rounded to 8 bits; told as a share, not kept per sample."""
    return _ROUNDED + attack


def rounded_attack(column: str) -> str:
    """The attack of such a column; empty for other columns."""
    return column.removeprefix(_ROUNDED) if column.startswith(_ROUNDED) else ""


def cross_suite(data: str) -> str:
    """The record of a ranking on another data set."""
    return _CROSS + data


def other_domain(suite: str) -> str:
    """The data set of such a record; empty for other suites."""
    return suite.removeprefix(_CROSS) if suite.startswith(_CROSS) else ""


def attack_suite(side: str) -> str:
    """The record of a search whose ``query`` or ``gallery`` is attacked."""
    return _ATTACKED + side


def attacked_side(suite: str) -> str:
    """What an attack on retrieval changed: ``query``, ``gallery``; empty for other suites."""
    return suite.removeprefix(_ATTACKED) if suite.startswith(_ATTACKED) else ""
