"""Checks of an attack against itself: other radii, more steps, other starts.

Every attack starts from the clean pixels: nothing is inherited from a smaller radius or from fewer steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from ..attacks import budget_text
from ..records.doctor import Check
from . import questions
from .chance import ALPHA, SURVIVES, UNFINISHED, beyond, outweighs, percent
from .subject import Subject
from .white_box import STARTS, WhiteBox

#: Samples that are attacked with nothing: not one may differ.
ENOUGH = 32
#: Radii of the curve, of the claim's.
RADII = (Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(2))


def eps_zero_check(box: WhiteBox) -> Check:
    """Eps = 0 is the clean accuracy, sample by sample."""
    subject, eps = box.subject.head(ENOUGH), Fraction(0)
    attacks = [subject.attack(kind="square", steps=3, eps=eps), subject.attack(kind="uniform", steps=1, eps=eps)]
    if box.follows:
        attacks += [subject.attack(kind="fgsm", eps=eps), box.pgd(2, eps=eps)]
    changed = sum(int((subject.after(attack) != subject.right).sum()) for attack in attacks)
    return questions.EPS_ZERO.answer(
        "failed" if changed else "ok",
        f"{changed} outcomes of {len(attacks)} attacks on {len(subject.y)} samples differ",
        {"changed": changed},
    )


def radius_check(box: WhiteBox) -> Check:
    """Accuracy never rises with the radius."""
    radii, grey = [share * box.subject.eps for share in RADII], grey_radius(box.subject)
    sizes = [Fraction(0), *(eps for eps in radii if eps < grey)]
    rights = [box.after_pgd(eps=size) if size else box.right for size in sizes]
    pairs = list(pairwise(rights))
    rises = [
        outweighs(int((later & ~before).sum()), int((before & ~later).sum()), ALPHA / len(pairs))
        for before, later in pairs
    ]
    norm, names = box.subject.norm, [budget_text(size, box.subject.norm) for size in sizes]
    shares = [float(right.double().mean()) for right in rights]
    return questions.RADIUS.answer(
        "failed" if any(rises) else "ok",
        f"PGD: {_curve(names, shares)}",
        {"x": [float(size) for size in sizes], "y": shares, "x_label": f"eps ({norm})", "y_label": "robust accuracy"},
    )


def grey_check(box: WhiteBox) -> Check:
    """About nothing survives where the ball holds the grey image."""
    eps = grey_radius(box.subject)
    left = int(box.after_pgd(eps=eps).sum())
    return questions.GREY.answer(
        "failed" if beyond(left, box.n, SURVIVES) else "ok",
        f"PGD at {budget_text(eps, box.subject.norm)} leaves {percent(left, box.n)} samples that were right",
        {"left": left, "n": box.n, "eps": float(eps)},
    )


def step_check(box: WhiteBox) -> Check:
    """More steps change little."""
    counts = box.counts
    rights = [box.after_pgd(count) for count in counts]
    gained = int((box.after_pgd() & ~rights[-1]).sum())
    shares = [float(right.double().mean()) for right in rights]
    return questions.STEPS.answer(
        "suspicious" if beyond(gained, box.n, UNFINISHED) else "ok",
        f"PGD by steps: {_curve(counts, shares)}; {counts[-1]} break {percent(gained, box.n)} that {box.steps} left",
        {"x": counts, "y": shares, "x_label": "steps", "y_label": "robust accuracy", "gained": gained, "n": box.n},
    )


def start_check(box: WhiteBox) -> Check:
    """More random starts change little."""
    gained = int((box.after_pgd() & ~box.after_starts()).sum())
    return questions.RESTARTS.answer(
        "suspicious" if beyond(gained, box.n, UNFINISHED) else "ok",
        f"{STARTS} more starts break {percent(gained, box.n)} that PGD left",
        {"gained": gained, "n": box.n},
    )


def grey_radius(subject: Subject) -> Fraction:
    """The least radius whose ball holds the grey image for every image."""
    pixels = subject.x[0].numel()
    if subject.norm == "linf":
        return Fraction(1, 2)
    return Fraction(pixels, 2) if subject.norm == "l1" else Fraction(pixels**0.5 / 2).limit_denominator(1000)


def _curve(names: Sequence[object], shares: Sequence[float]) -> str:
    return ", ".join(f"{100 * share:.1f} % at {name}" for name, share in zip(names, shares, strict=True))
