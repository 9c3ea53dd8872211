"""How strong the attacks behind a figure are: what it may be called, and what it may not be set beside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from ...records.figures import Figure
from ...records.names import FIRST_ORDER, NOISE
from ...records.titles import attack_place, attack_title
from ..values import enumerated
from .figures import attack_metrics, worst
from .read import Subject

#: Nothing is left of a model under this share.
FLOOR = 0.02


@dataclass(frozen=True)
class Strength:
    """A label for a table, and a sentence without its full stop."""

    label: str
    sentence: str


def strength(subject: Subject, norm: str, eps: Fraction) -> Strength:
    """Of the attacks behind the worst case in a norm at one radius.

    A suite on other samples is not behind it: AutoAttack on a hundred images says nothing of the other four hundred.
    """
    own = [m for m in attack_metrics(subject) if m.norm == norm and m.eps == eps and not m.worst]
    share = worst(subject, norm, eps)
    if share is not None:
        own = [metric for metric in own if metric.suite in share.suites]
    names = {"transfer" if metric.attack.transferred else metric.attack.base for metric in own}
    if "autoattack" in names:
        return _autoattack(subject, own)
    if not own:
        return Strength("attacks unknown", "which attacks it stands for is not recorded")
    listed = titles(own)
    if names <= {"transfer", "square", *NOISE}:
        only = "noise" if names <= set(NOISE) else "black-box attacks"
        return Strength(
            f"upper bound: {only} only",
            f"an upper bound, by {only} alone ({listed}): an attacker who knows the model would find more",
        )
    if names <= {"transfer", "square", *FIRST_ORDER, *NOISE}:
        return Strength(f"upper bound: {listed}", f"an upper bound, by {listed}: stronger attacks may find more")
    return Strength("upper bound: no AutoAttack", f"an upper bound, by {listed}: AutoAttack is not among them")


def _autoattack(subject: Subject, own: list[Figure]) -> Strength:
    standard = [metric for metric in own if metric.attack.base == "autoattack"]
    changed = [text for name in {metric.suite for metric in standard} for text in deviations(subject, name)]
    if any("rand" in metric.attack.variants for metric in standard):
        changed.insert(0, "its version for random models")
    others = titles([metric for metric in own if metric not in standard])
    beside = f", with {others} beside it" if others else ""
    if changed:
        said = "; ".join(dict.fromkeys(changed))
        return Strength("AutoAttack, not standard", f"by AutoAttack in a non-standard form ({said}){beside}")
    return Strength("AutoAttack, standard", f"by AutoAttack in its standard form{beside}")


def deviations(subject: Subject, suite: str) -> list[str]:
    """What is not standard in a suite."""
    listed = subject.suites[suite].settings.get("deviations")
    texts = [listed] if isinstance(listed, str) else listed if isinstance(listed, (list, tuple)) else []
    return [str(text).removeprefix("non-standard: ").strip().rstrip(".") for text in texts]


def titles(metrics: Iterable[Figure]) -> str:
    """Attacks for a sentence, each once, norms left out."""
    kinds = sorted({metric.attack.without_norm for metric in metrics}, key=attack_place)
    named = [attack_title(kind).replace(", ", " ") for kind in kinds]
    named = [name.lower() if kind in NOISE else name for name, kind in zip(named, kinds, strict=True)]
    return enumerated(named)
