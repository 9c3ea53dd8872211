"""Attacks that follow gradients, and the samples that they leave right: what other attacks are compared with."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch

from ..attacks import Attack
from .gradient_checks import no_gradient
from .subject import Subject

#: Steps of the curve, as shares of the steps of PGD: 1, 5, 10, 20, 50 where that makes 20.
STEPS = (0.05, 0.25, 0.5, 1, 2.5)
#: More random starts of PGD.
STARTS = 2
#: Classes that a targeted attack tries.
TARGETS = 3


class WhiteBox:
    """Attacks at the claim's radius on one subject, PGD with so many ``steps``; each is made once."""

    def __init__(self, subject: Subject, steps: int) -> None:
        self.subject, self.steps = subject, steps
        self.follows = no_gradient(subject) is None

    @property
    def right(self) -> torch.Tensor:
        """Right before any attack, (N,)."""
        return self.subject.right

    @property
    def n(self) -> int:
        """How many samples were right: those that can be broken."""
        return int(self.right.sum())

    @property
    def counts(self) -> list[int]:
        """Numbers of steps of the curve."""
        return sorted({max(1, round(share * self.steps)) for share in STEPS})

    def pgd(self, steps: int | None = None, **settings: Any) -> Attack:
        """The attack that the others are compared with."""
        return self.subject.attack(kind="pgd", steps=steps or self.steps, **settings)

    def after_pgd(self, steps: int | None = None, eps: Fraction | None = None) -> torch.Tensor:
        """Right after PGD, (N,)."""
        return self.subject.after(self.pgd(steps, eps=self.subject.eps if eps is None else eps))

    def after_fgsm(self) -> torch.Tensor:
        """Right after FGSM, (N,)."""
        return self.subject.after(self.subject.attack(kind="fgsm"))

    def after_starts(self) -> torch.Tensor:
        """Right after PGD and after more random starts, (N,)."""
        own = self.after_pgd()
        return own & self.subject.after(self.pgd(restarts=STARTS), among=own, again=1)

    def after_losses(self) -> dict[str, torch.Tensor]:
        """Right after PGD on cross-entropy and after a margin, DLR, a targeted loss: as far as there are classes."""
        classes, own = self.subject.logits.shape[1], self.after_pgd()
        attacks = [self.pgd(loss="margin")]
        if classes >= 3:
            attacks.append(self.subject.attack(kind="apgd", steps=self.steps, loss="dlr"))
        loss, targets = "dlr" if classes >= 4 else "margin", min(TARGETS, classes - 1)
        attacks.append(self.subject.attack(kind="apgd", steps=self.steps, loss=loss, targets=targets))
        return {attack.title: own & self.subject.after(attack, among=own) for attack in attacks}

    def left(self) -> torch.Tensor:
        """Right after all of these, (N,); where there are no gradients, right before."""
        if not self.follows:
            return self.right
        left = self.after_starts() & self.after_fgsm()
        for right in (*self.after_losses().values(), *(self.after_pgd(count) for count in self.counts)):
            left = left & right
        return left
