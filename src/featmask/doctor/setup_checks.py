"""Checks of the set-up: pixels, logits, labels, chance. What fails here makes every figure wrong."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..models import looks_like_probabilities
from ..records.doctor import Check
from . import questions
from .as_received import AsReceived
from .chance import ALPHA, FLAT, at_least, at_most, beyond, percent
from .subject import Subject

#: Pixels that are all darker were probably divided by 255 twice.
DARK = 0.02
#: Samples whose cross-entropy may be exactly 0 before it is worth a word: a gap of 17 between two logits is enough,
#: and networks that fit their training set have it.
CERTAIN = 0.25
#: What rounding may be of the margin between the two highest logits; above it attacks see steps.
RESOLVED = 1e-3
#: Largest change of a logit, of the largest logit, that the size of the batch may make.
ALONE = 1e-3


def pixel_check(x: torch.Tensor) -> Check:
    """Pixels in [0, 1]: eps is a share of that range."""
    low, high = float(x.min()), float(x.max())
    outside = float(((x < 0) | (x > 1) | ~x.isfinite()).double().mean())
    inside = low >= 0 and high <= 1  # NaN fails too
    far = max(-low, high - 1, 0.0)
    figure = f"pixels from {low:.3g} to {high:.3g}"
    return questions.PIXELS.answer(
        "failed" if not inside else "suspicious" if high < DARK else "ok",
        figure if inside else f"{figure}: {100 * outside:.1f} % outside [0, 1], by up to {far:.3g}",
        {"low": _number(low), "high": _number(high), "share_outside": outside},
    )


def finite_check(logits: torch.Tensor) -> Check:
    """No NaN and no infinity among the logits."""
    bad = int((~logits.isfinite().all(1)).sum())
    return questions.FINITE.answer(
        "failed" if bad else "ok",
        f"{percent(bad, len(logits))} samples have NaN or infinite logits",
        {"count": bad, "n": len(logits)},
    )


def logit_check(logits: torch.Tensor) -> Check:
    """Logits, not probabilities."""
    chances = looks_like_probabilities(logits)
    scores = not chances and bool(((logits >= 0) & (logits <= 1)).all())
    low, high = float(logits.min()), float(logits.max())
    return questions.LOGITS.answer(
        "failed" if chances else "suspicious" if scores else "ok",
        f"outputs from {low:.3g} to {high:.3g}" + ("; each row sums to 1: probabilities" if chances else ""),
        {"low": _number(low), "high": _number(high), "probabilities": chances},
    )


def label_check(y: torch.Tensor, classes: int) -> Check:
    """Labels are classes of the model."""
    low, high = int(y.min()), int(y.max())
    fits = low >= 0 and high < classes
    figure = f"labels {low} to {high}, {classes} classes"
    return questions.LABELS.answer("ok" if fits else "failed", figure, {"low": low, "high": high, "classes": classes})


def accuracy_check(subject: Subject) -> Check:
    """Clearly better than chance: else the preprocessing or the order of the classes is wrong.

    Chance is the agreement of labels and predictions that are drawn apart, with the shares that both have (Cohen 1960):
    always naming the largest class is chance too.
    """
    y, predicted = subject.y, subject.logits.argmax(1)
    n, classes = len(y), subject.logits.shape[1]
    table = torch.bincount(predicted * classes + y, minlength=classes**2).view(classes, classes)
    right, chance = int(table.trace()), float((table.sum(0).double() * table.sum(1).double()).sum()) / n**2
    renamed = int(table.amax(1).sum())
    better = at_least(right, n, chance) <= ALPHA
    other = not better and renamed > right and at_least(renamed, n, max(chance, 0.5)) <= ALPHA
    side = " (below chance)" if at_most(right, n, chance) <= ALPHA else ""
    if not better and right > n * chance:
        side = " (above chance, but so few samples do not show it: give more)"
    return questions.ACCURACY.answer(
        "ok" if better else "failed",
        f"accuracy {percent(right, n)}, chance {100 * chance:.1f} %{side}"
        + (f"; {percent(renamed, n)} if classes were named in another order" if other else ""),
        {"right": right, "n": n, "chance": chance, "right_if_renamed": renamed},
    )


def saturation_check(subject: Subject) -> Check:
    """Float32 still resolves what an attack has to raise.

    Above a gap of 17 cross-entropy is exactly 0, above 104 its gradient too: Carlini and Wagner 2017, section 5.
    """
    logits = subject.logits.detach().clone().requires_grad_()
    with torch.enable_grad():
        loss = nn.functional.cross_entropy(logits, subject.y, reduction="none")
        (slope,) = torch.autograd.grad(loss.sum(), logits)
    n = len(loss)
    certain, flat = int((loss == 0).sum()), int((slope == 0).all(1).sum())
    top = logits.detach().topk(2, dim=1).values
    rounding = torch.finfo(torch.float32).eps * float(logits.detach().abs().amax(1).median())
    coarse = rounding > RESOLVED * float((top[:, 0] - top[:, 1]).median())
    failed = coarse or beyond(flat, n, FLAT)
    return questions.SATURATION.answer(
        "failed" if failed else "suspicious" if beyond(certain, n, CERTAIN) else "ok",
        f"cross-entropy is exactly 0 for {percent(certain, n)} samples, its gradient for {percent(flat, n)}"
        + ("; the logits are too large for their differences to be resolved" if coarse else ""),
        {"certain": certain, "flat": flat, "n": n, "rounding": _number(rounding)},
    )


def repeatable_check(came: AsReceived, logits: torch.Tensor, second: torch.Tensor) -> Check:
    """Two passes over the same images give the same bits, as the model came and in eval mode."""
    random, at_first = not torch.equal(logits, second), not torch.equal(came.first, came.second)
    changed = int((logits.argmax(1) != second.argmax(1)).sum())
    far = float((logits - second).abs().max())
    if random:
        figure = f"random in eval mode: logits move by up to {far:.3g}, {changed} of {len(logits)} predictions change"
    else:
        figure = "identical in eval mode" + ("; random in the modes that it came in" if at_first else "")
    return questions.REPEATABLE.answer(
        "failed" if random or at_first else "ok",
        figure,
        {"random_in_eval": random, "random_as_it_came": at_first, "largest": _number(far), "predictions": changed},
    )


def alone_check(subject: Subject) -> Check:
    """A sample's logits don't depend on its neighbours in the batch."""
    some = min(4, len(subject.y))
    with torch.no_grad():
        single = torch.cat([subject.model(subject.x[i : i + 1]).float() for i in range(some)])
    far = float((single - subject.logits[:some]).abs().max())
    largest = max(float(subject.logits.abs().max()), 1e-12)
    return questions.ALONE.answer(
        "failed" if far > ALONE * largest else "ok",
        f"alone instead of in a batch, logits move by up to {far:.2g} of {largest:.3g}",
        {"largest_change": _number(far), "largest_logit": _number(largest)},
    )


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None
