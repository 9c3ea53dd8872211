"""What a suite does to every sample: its attacks and its corruptions, and what its figures can't say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...attacks import Attack, AutoAttack, Method, Norm
from ...records.names import Name

UPPER_BOUND = "FGSM and PGD alone: an upper bound on robust accuracy, not to be set beside AutoAttack figures"
NO_AUTOATTACK = "Not AutoAttack's standard set: an upper bound on robust accuracy, not to be set beside its figures"
BLACK_BOX = "Black-box attacks alone: an upper bound on robust accuracy; gradients would find more"


@dataclass(frozen=True)
class Plan:
    """One suite.

    Attributes:
        name: of its record.
        attacks: in the order of the columns.
        corruptions: kinds; empty: none.
        severities: of the corruptions.
        smallest: the attack whose radius is halved around the smallest that flips a sample; None: no search.
        rounds: of halving.
        norm: of the suite's balls, if it has one.
        warnings: what its figures can't say.
        deviations: what is not standard.
    """

    name: str
    attacks: tuple[Method, ...] = ()
    corruptions: tuple[str, ...] = ()
    severities: tuple[int, ...] = ()
    smallest: Attack | None = None
    rounds: int = 0
    norm: Norm | None = None
    warnings: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """For the record: everything that the outcomes depend on."""
        found: dict[str, Any] = {}
        if self.norm is not None:
            found["norm"] = self.norm
        if self.attacks:
            found["attacks"] = [attack.plain() for attack in self.attacks]
        if self.corruptions:
            found |= {"kinds": list(self.corruptions), "severities": list(self.severities)}
        if self.deviations:
            found["deviations"] = list(self.deviations)
        if self.smallest is not None and self.rounds:
            own = [attack for attack in self.attacks if isinstance(attack, Attack) and attack.norm == self.norm]
            found["smallest"] = {
                "attack": self.smallest.plain(),
                "rounds": self.rounds,
                "norm": self.norm,
                "highest": Name.parse(max(own, key=lambda attack: attack.eps).name).size,
            }
        return found


def warnings_of(attacks: Sequence[Method]) -> tuple[str, ...]:
    """What figures of these attacks can't say."""
    ours = [attack for attack in attacks if isinstance(attack, Attack)]
    if not ours or any(isinstance(attack, AutoAttack) for attack in attacks):
        return ()
    if not any(attack.gradients for attack in ours):
        return (BLACK_BOX,)
    return (NO_AUTOATTACK if any(attack.row.standard for attack in ours) else UPPER_BOUND,)


def disclosed(plan: Plan, classes: int, size: tuple[int, int]) -> Plan:
    """The plan with what its AutoAttacks do otherwise than the standard on such a model."""
    own = [attack for attack in plan.attacks if isinstance(attack, AutoAttack)]
    changed = tuple(dict.fromkeys(text for attack in own for text in attack.deviations(classes, size)))
    return replace(plan, deviations=changed, warnings=plan.warnings + changed)
