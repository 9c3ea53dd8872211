"""Checks of attacks against each other: what a weaker one breaks, a sound stronger one breaks as well.

Weaker attacks are made on what the stronger ones left, since only there can they find more.
"""

from __future__ import annotations

from fractions import Fraction

import torch

from ..attacks import Method, Model, Transfer
from ..records.doctor import Check
from . import questions
from .chance import LOSSES, MISSED, UNDEFENDED, beyond, percent
from .diagnosis import Verdict
from .questions import Question
from .white_box import WhiteBox

#: Draws of each kind of noise.
DRAWS = 5


def fgsm_check(box: WhiteBox) -> Check:
    """PGD is at least as strong as FGSM."""
    return _beside_pgd(questions.FGSM, box, "FGSM", box.after_fgsm())


def loss_check(box: WhiteBox) -> Check:
    """Margin, DLR and a targeted loss find little beyond cross-entropy."""
    own = box.after_pgd()
    found = {name: int((own & ~right).sum()) for name, right in box.after_losses().items()}
    return questions.LOSSES.answer(
        "suspicious" if beyond(max(found.values()), box.n, LOSSES) else "ok",
        "broken beyond PGD on cross-entropy: "
        + ", ".join(f"{name} {count}" for name, count in found.items())
        + f" of {box.n} samples",
        {"found": found, "n": box.n},
    )


def noise_check(box: WhiteBox) -> Check:
    """Noise of the same size is weaker than gradients."""
    noisy = box.right
    for kind in ("uniform", "gaussian"):
        noisy = noisy & box.subject.after(box.subject.attack(kind=kind, steps=DRAWS))
    return _beside_pgd(questions.NOISE, box, "noise", noisy, draws=DRAWS)


def square_check(box: WhiteBox, queries: int) -> Check:
    """The black-box Square attack finds nothing that gradients missed."""
    attack = box.subject.attack(kind="square", steps=queries)
    return _on_the_rest(questions.SQUARE, box, attack, f"Square ({queries} queries) breaks")


def transfer_check(box: WhiteBox, surrogate: Model | None) -> Check:
    """Attacks on another model find nothing that this one's gradients missed."""
    if surrogate is None:
        return questions.TRANSFER.skip("no surrogate was given")
    return _on_the_rest(questions.TRANSFER, box, Transfer(box.pgd(), surrogate), "the surrogate's examples break")


def undefended_check(box: WhiteBox, trained: bool | None) -> Check:
    """A model that was not ``trained`` on adversarial examples (None: unknown) has about 0 % at 8/255."""
    if box.subject.norm != "linf" or box.subject.eps < Fraction(8, 255):
        return questions.UNDEFENDED.skip("asked at 8/255 of linf and above")
    left, n = int(box.left().sum()), len(box.right)
    figure = f"the worst case leaves {percent(left, n)} samples"
    if trained is not False:
        known = "trained adversarially" if trained else "whether it was trained adversarially was not said"
        return questions.UNDEFENDED.skip(f"{figure}; {known}")
    verdict: Verdict = "suspicious" if beyond(left, n, UNDEFENDED) else "ok"
    return questions.UNDEFENDED.answer(verdict, figure, {"left": left, "n": n})


def _beside_pgd(question: Question, box: WhiteBox, rival: str, right: torch.Tensor, **values: int) -> Check:
    """How much a weaker attack breaks, after which these are ``right``, that PGD missed."""
    own = box.after_pgd()
    found = int((own & ~right).sum())
    breaks = f"breaks {percent(found, box.n)} that PGD missed"
    return question.answer(
        "failed" if beyond(found, box.n, MISSED) else "ok",
        f"left by {rival} {_share(right)}, by PGD {_share(own)}; {rival} {breaks}",
        {"found": found, "n": box.n, rival.lower(): int(right.sum()), "pgd": int(own.sum()), **values},
    )


def _on_the_rest(question: Question, box: WhiteBox, attack: Method, breaks: str) -> Check:
    """An attack on the samples that gradients left; where none is, the figure of robustness is 0 and needs no trust."""
    left = box.left()
    count, found = int(left.sum()), int((left & ~box.subject.after(attack, among=left)).sum())
    verdict: Verdict = "failed" if beyond(found, box.n, MISSED) else "ok"
    figure = f"{breaks} {found} of the {count} samples that gradients left"
    values = {"found": found, "n": box.n, "left": count}
    return question.answer(verdict, figure if count else "gradients left no sample to break", values)


def _share(right: torch.Tensor) -> str:
    return f"{100 * float(right.double().mean()):.1f} %"
