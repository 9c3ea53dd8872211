"""The order of the checks; what a failure makes meaningless is skipped, and says why."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..records.doctor import Check
from ..utils.progress import Bar
from . import curve_checks, gradient_checks, questions, rival_checks, setup_checks
from .as_received import AsReceived, mask_check, mode_check
from .questions import Question
from .subject import FEW, Subject, gradients
from .white_box import WhiteBox

#: Samples of the passes that are made one way and another.
SOME = 32
#: Checks in all, for the bar.
TOTAL = 25
#: What attacks need; where one of these fails, they are not made.
NEEDED = ("pixel_range", "finite", "labels", "accuracy")


class Examination:
    """Asks the questions in their order, and keeps the checks; the bar shows its progress."""

    def __init__(self, subject: Subject, bar: Bar) -> None:
        self.subject, self.bar = subject, bar
        self.checks: list[Check] = []

    def ask(self, question: Question, make: Callable[[], Check], unless: str = "") -> None:
        """Make a check, or skip it for a reason that is not empty."""
        self.bar.advance(0, question.title)
        self.checks.append(question.skip(unless) if unless else make())
        self.bar.advance(1, question.title)

    def set_up(self, came: AsReceived, first: torch.Tensor, second: torch.Tensor) -> None:
        """Pixels, modes, logits, labels; ``first`` and ``second`` are logits of the same images in eval mode."""
        subject, logits = self.subject, self.subject.logits
        self.ask(questions.PIXELS, lambda: setup_checks.pixel_check(subject.x))
        self.ask(questions.MODE, lambda: mode_check(came, first, subject.passes > 1))
        self.ask(questions.MASKING, lambda: mask_check(came))
        self.ask(questions.REPEATABLE, lambda: setup_checks.repeatable_check(came, first, second))
        self.ask(questions.FINITE, lambda: setup_checks.finite_check(logits))
        self.ask(questions.LOGITS, lambda: setup_checks.logit_check(logits))
        self.ask(questions.LABELS, lambda: setup_checks.label_check(subject.y, logits.shape[1]))
        wrong = self._failed("finite", "labels")
        self.ask(questions.ACCURACY, lambda: setup_checks.accuracy_check(subject), wrong)
        self.ask(questions.SATURATION, lambda: setup_checks.saturation_check(subject), wrong)
        random = "the model is random: no two passes can be compared" if subject.passes > 1 else ""
        self.ask(questions.ALONE, lambda: setup_checks.alone_check(subject), wrong or random)

    def gradients(self) -> None:
        """Input gradients of all samples."""
        subject, wrong = self.subject, self._failed("finite", "labels")
        missing = None if wrong else gradient_checks.no_gradient(subject)
        found = torch.empty(0) if wrong or missing else self._slopes()
        self.ask(questions.ZERO, lambda: missing or gradient_checks.zero_check(found), wrong)
        reason = wrong or ("there are no gradients" if missing else "")
        random = "the model is random" if subject.passes > 1 else ""
        self.ask(questions.NAN, lambda: gradient_checks.nan_check(found), reason)
        self.ask(questions.SAME, lambda: gradient_checks.repeat_check(subject), reason)
        self.ask(questions.DIFFERENCES, lambda: gradient_checks.difference_check(subject, found), reason or random)

    def attacks(self, steps: int, queries: int, surrogate: nn.Module | None, trained: bool | None) -> None:
        """Attacks against themselves and against each other; arguments as ``examine`` has them."""
        wrong, subject = self._failed(*NEEDED), self.subject
        random = "the model is random" if subject.passes > 1 else ""
        # built only where attacks are possible: to look for gradients it runs the model
        box = None if wrong else WhiteBox(subject.head(FEW) if random else subject, steps)
        blind = wrong or ("" if box and box.follows else "there are no gradients")
        # a sample of a random model changes sides by itself: which attack found it says little
        pairs = blind or (f"{random}: its samples change sides without an attack" if random else "")
        asked: list[tuple[Question, Callable[[WhiteBox], Check], str]] = [
            (questions.EPS_ZERO, curve_checks.eps_zero_check, wrong or random),
            (questions.RADIUS, curve_checks.radius_check, blind),
            (questions.GREY, curve_checks.grey_check, blind),
            (questions.STEPS, curve_checks.step_check, pairs),
            (questions.RESTARTS, curve_checks.start_check, pairs),
            (questions.FGSM, rival_checks.fgsm_check, pairs),
            (questions.LOSSES, rival_checks.loss_check, pairs),
            (questions.NOISE, rival_checks.noise_check, pairs),
            (questions.SQUARE, lambda box: rival_checks.square_check(box, queries), pairs),
            (questions.TRANSFER, lambda box: rival_checks.transfer_check(box, surrogate), pairs),
            (questions.UNDEFENDED, lambda box: rival_checks.undefended_check(box, trained), pairs),
        ]
        for question, make, unless in asked:
            self.ask(question, lambda make=make: make(box), unless)  # type: ignore[misc]

    def _failed(self, *names: str) -> str:
        """A reason to skip: the first of these checks that failed; empty if none did."""
        found = [check.title for check in self.checks if check.name in names and check.verdict == "failed"]
        return f"not asked, since this failed: {found[0]}" if found else ""

    def _slopes(self) -> torch.Tensor:
        """Gradients of all samples, NaN included."""

        def work(part: slice) -> torch.Tensor:
            found = gradients(self.subject.model, self.subject.x[part], self.subject.y[part])
            assert found is not None
            return found

        return torch.cat(self.subject.portions.each(work, len(self.subject.y)))
