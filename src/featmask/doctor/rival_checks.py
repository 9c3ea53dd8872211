"""Checks of attacks against each other: what a weaker one breaks, a sound stronger one breaks as well.

Weaker attacks are made on what the stronger ones left, since only there can they find more.
"""

from __future__ import annotations

from fractions import Fraction

import torch

from ..attacks import Model, Transfer
from ..records.doctor import Check
from . import questions
from .chance import LOSSES, MISSED, UNDEFENDED, beyond, percent
from .white_box import WhiteBox

#: Draws of each kind of noise.
DRAWS = 5


def fgsm_check(box: WhiteBox) -> Check:
    """PGD is at least as strong as FGSM."""
    fgsm, own = box.after_fgsm(), box.after_pgd()
    found = int((own & ~fgsm).sum())
    return questions.FGSM.answer(
        "failed" if beyond(found, box.n, MISSED) else "ok",
        f"left by FGSM {_share(fgsm)}, by PGD {_share(own)}; FGSM breaks {percent(found, box.n)} that PGD missed",
        {"found": found, "n": box.n, "fgsm": int(fgsm.sum()), "pgd": int(own.sum())},
    )


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
    own, noisy = box.after_pgd(), box.right
    for kind in ("uniform", "gaussian"):
        noisy = noisy & box.subject.after(box.subject.attack(kind=kind, steps=DRAWS))
    found = int((own & ~noisy).sum())
    return questions.NOISE.answer(
        "failed" if beyond(found, box.n, MISSED) else "ok",
        f"left by noise {_share(noisy)}, by PGD {_share(own)}; noise breaks {percent(found, box.n)} that PGD missed",
        {"found": found, "n": box.n, "noise": int(noisy.sum()), "pgd": int(own.sum()), "draws": DRAWS},
    )


def square_check(box: WhiteBox, queries: int) -> Check:
    """The black-box Square attack finds nothing that gradients missed."""
    left = box.left()
    attack = box.subject.attack(kind="square", steps=queries)
    found = int((left & ~box.subject.after(attack, among=left)).sum())
    return questions.SQUARE.answer(
        "failed" if beyond(found, box.n, MISSED) else "ok",
        _beaten(f"Square ({queries} queries) breaks", found, left),
        {"found": found, "n": box.n, "left": int(left.sum())},
    )


def transfer_check(box: WhiteBox, surrogate: Model | None) -> Check:
    """Attacks on another model find nothing that this one's gradients missed."""
    if surrogate is None:
        return questions.TRANSFER.skip("no surrogate was given")
    left = box.left()
    attack = Transfer(box.pgd(), surrogate)
    found = int((left & ~box.subject.after(attack, among=left)).sum())
    return questions.TRANSFER.answer(
        "failed" if beyond(found, box.n, MISSED) else "ok",
        _beaten("the surrogate's examples break", found, left),
        {"found": found, "n": box.n, "left": int(left.sum())},
    )


def undefended_check(box: WhiteBox, trained: bool | None) -> Check:
    """A model that was not trained on adversarial examples has about 0 % at 8/255.

    Args:
        box: its attacks.
        trained: on adversarial examples; None: unknown.
    """
    if box.subject.norm != "linf" or box.subject.eps < Fraction(8, 255):
        return questions.UNDEFENDED.skip("asked at 8/255 of linf and above")
    left, n = int(box.left().sum()), len(box.right)
    figure = f"the worst case leaves {percent(left, n)} samples"
    if trained is not False:
        return questions.UNDEFENDED.skip(
            f"{figure}; "
            + ("trained adversarially" if trained else "whether it was trained adversarially was not said")
        )
    return questions.UNDEFENDED.answer(
        "suspicious" if beyond(left, n, UNDEFENDED) else "ok", figure, {"left": left, "n": n}
    )


def _beaten(who: str, found: int, left: torch.Tensor) -> str:
    """In words; where nothing is left, the figure of robustness is 0 and needs no trust."""
    count = int(left.sum())
    return f"{who} {found} of the {count} samples that gradients left" if count else "gradients left no sample to break"


def _share(right: torch.Tensor) -> str:
    return f"{100 * float(right.double().mean()):.1f} %"
