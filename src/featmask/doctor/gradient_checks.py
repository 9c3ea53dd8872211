"""Checks of input gradients: are they there, finite, the same twice, and the model's own slope?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from ..attacks.ball import unit
from ..attacks.objectives import objective
from ..records.doctor import Check
from . import questions
from .chance import FLAT, KINKED, beyond, percent
from .diagnosis import Verdict
from .subject import Subject, gradients

#: Samples whose gradients are compared with differences, and random directions beside the gradient's own.
COMPARED, DIRECTIONS = 16, 4
#: Root mean square of a pixel's move. A right gradient agrees at one of them: deep networks have so many kinks that the
#: larger crosses some; it is for models that compute in float32 within.
MOVES, MOVES_FLOAT32 = (1e-8, 1e-4), (1e-4, 1e-3)
#: Relative error of the slopes. In float64 sound networks stay below 1e-4 but for kinks; in float32 rounding alone
#: is some percent along a random direction.
TOLERANCE, TOLERANCE_FLOAT32 = 0.05, 0.25
#: Relative change of a gradient from one pass to the next that the order of additions on a GPU may make.
REPEATED = 1e-3


class Slopes(NamedTuple):
    """Directional derivatives of the log-odds, (samples, 1 + DIRECTIONS): along the gradient first."""

    autograd: torch.Tensor
    measured: torch.Tensor


def no_gradient(subject: Subject) -> Check | None:
    """Where no gradient reaches the pixels at all; None where one does."""
    black_box = not getattr(subject.model, "differentiable", True)
    if not black_box and gradients(subject.model, subject.x[:1], subject.y[:1]) is not None:
        return None
    return questions.ZERO.answer(
        "suspicious" if black_box else "failed",
        "a black box: there are no gradients" if black_box else "autograd connects no pixel with the logits",
    )


def zero_check(found: torch.Tensor) -> Check:
    """Few samples without a slope; ``found`` are gradients of the log-odds."""
    flat = int((found == 0).flatten(1).all(1).sum())
    entries = float((found == 0).double().mean())
    return questions.ZERO.answer(
        "failed" if beyond(flat, len(found), FLAT) else "ok",
        f"{percent(flat, len(found))} samples have an all-zero gradient; {100 * entries:.1f} % of its entries are 0",
        {"flat": flat, "n": len(found), "zero_entries": entries},
    )


def nan_check(found: torch.Tensor) -> Check:
    """No NaN and no infinity."""
    bad = int((~found.isfinite()).flatten(1).any(1).sum())
    verdict: Verdict = "failed" if beyond(bad, len(found), FLAT) else "suspicious" if bad else "ok"
    return questions.NAN.answer(
        verdict,
        f"{percent(bad, len(found))} samples have NaN or infinite entries in their gradient",
        {"count": bad, "n": len(found)},
    )


def repeat_check(subject: Subject) -> Check:
    """The same gradient twice."""
    some = slice(0, COMPARED)
    pair = [gradients(subject.model, subject.x[some], subject.y[some]) for _ in range(2)]
    first, second = (values.nan_to_num(0, 0, 0).flatten(1).double() for values in pair if values is not None)
    far = (first - second).norm(dim=1) / first.norm(dim=1).clamp_min(1e-300)
    cosine = nn.functional.cosine_similarity(first, second, dim=1, eps=1e-300)
    changed = int((far > REPEATED).sum())
    return questions.SAME.answer(
        "failed" if changed else "ok",
        f"{changed} of {len(far)} gradients change; cosine of both {float(cosine.median()):.3f} in the median"
        if changed
        else f"{len(far)} gradients identical" + (" up to rounding" if bool(far.any()) else ""),
        {"changed": changed, "n": len(far)},
    )


def difference_check(subject: Subject, found: torch.Tensor) -> Check:
    """Autograd's slopes against central differences, along the gradient and along random directions."""
    usable = (found.isfinite().flatten(1).all(1)).nonzero().flatten()[:COMPARED]
    if not len(usable):
        return questions.DIFFERENCES.skip("no finite gradient to compare")
    x, y = subject.x[usable], subject.y[usable]
    model, double = _precise(subject.model, x)
    error = torch.full((len(usable), 2), torch.inf, dtype=torch.float64)
    tolerance = TOLERANCE if double else TOLERANCE_FLOAT32
    beside = _beside(x.double() if double else x, subject.seed)
    for move in MOVES if double else MOVES_FLOAT32:
        rest = (error > tolerance).any(1).nonzero().flatten()
        if len(rest):
            at = rest.to(x.device)
            slopes = slopes_of(model, beside[at], y[at], move, subject.seed)
            error[rest] = torch.minimum(error[rest], _errors(slopes).cpu())
    wrong = int((error > tolerance).any(1).sum())
    failed, climbs = beyond(wrong, len(usable), KINKED), _climbs(subject, x, y, found[usable])
    return questions.DIFFERENCES.answer(
        ("suspicious" if climbs >= 0.9 else "failed") if failed else "ok",
        f"{wrong} of {len(usable)} samples disagree ({'float64' if double else 'float32'}); relative error "
        f"{float(error[:, 0].median()):.1g} along the gradient, {float(error[:, 1].median()):.1g} across"
        + (f"; a step along it climbs in {100 * climbs:.0f} %" if failed else ""),
        {"wrong": wrong, "n": len(usable), "float64": double, "climbs": climbs},
    )


def slopes_of(
    model: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, y: torch.Tensor, move: float, seed: int
) -> Slopes:
    """Derivatives by autograd, and central differences of the log-odds, in the precision of ``x`` and the model.

    ``move`` is the root mean square of a pixel's move, ``seed`` that of the random directions.
    """
    own = gradients(model, x, y)
    assert own is not None
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(x.shape, generator=generator).to(x) for _ in range(DIRECTIONS)]
    size = move * x[0].numel() ** 0.5
    exact, measured = [], []
    for direction in [unit(own, "l2"), *(unit(towards, "l2") for towards in drawn)]:
        with torch.no_grad():
            up, down = (objective("ce", model(x + sign * size * direction), y) for sign in (1, -1))
        measured.append((up.double() - down.double()) / (2 * size))
        exact.append((own * direction).double().flatten(1).sum(1))
    return Slopes(torch.stack(exact, 1), torch.stack(measured, 1))


def _beside(x: torch.Tensor, seed: int) -> torch.Tensor:
    """Pixels within a grey level or two, and off the borders of [0, 1].

    Images of whole levels with flat backgrounds lie on kinks, ties of max-pooling for example, where the slopes of a
    sound network differ to both sides.
    """
    drawn = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)
    return x * (1 - 2 / 255) + (drawn + 0.5) / 255


def _errors(slopes: Slopes) -> torch.Tensor:
    """Relative errors (N, 2): along the gradient, and across; 0 where both slopes are."""
    found = []
    for part in (slice(0, 1), slice(1, None)):
        a, b = slopes.autograd[:, part], slopes.measured[:, part]
        scale = torch.maximum(a.norm(dim=1), b.norm(dim=1))
        error = torch.where(scale > 0, (a - b).norm(dim=1) / scale.clamp_min(1e-300), 0)
        found.append(error.nan_to_num(torch.inf))
    return torch.stack(found, 1)


def _climbs(subject: Subject, x: torch.Tensor, y: torch.Tensor, found: torch.Tensor) -> float:
    """Share of samples whose log-odds a step along the gradient raises, as far as a step of an attack."""
    step = unit(found, subject.norm if subject.norm != "l1" else "l2") * float(subject.eps) / 4
    with torch.no_grad():
        up, here = (objective("ce", subject.model(pixels), y) for pixels in ((x + step).clamp(0, 1), x))
    return float((up > here).double().mean())


def _precise(model: nn.Module, x: torch.Tensor) -> tuple[nn.Module, bool]:
    """A copy in float64 if the model can be one, else the model itself."""
    try:
        twin = copy.deepcopy(model).double()
        with torch.no_grad():
            double = twin(x[:1].double()).dtype == torch.float64
    except Exception:  # whatever a model does that is made for float32
        return model, False
    return (twin, True) if double else (model, False)
