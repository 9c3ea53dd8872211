"""Norm balls around pixels: projection, steps, random starts, an independent check, 8-bit pixels inside the ball.

A radius is a number, or one per sample: (N, 1, 1, 1).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, Protocol

import torch

from ..errors import FeatmaskError
from .box import project_l1, project_l2, start_l1, steepest_l1
from .draws import Noise

Norm = Literal["linf", "l2", "l1"]

#: What float32 may add to a change of pixels.
ROUNDING = 1e-6
_TINY = 1e-30
#: Grey levels: float32 puts 8-bit pixels a hair beside whole numbers. Less than ROUNDING in pixels.
_HAIR = 1e-4
_ORDER: dict[str, float] = {"linf": torch.inf, "l2": 2, "l1": 1}


class Budget(Protocol):
    """What every attack says about itself: how it is called and how far it may go."""

    @property
    def name(self) -> str:
        """For tables and messages."""

    @property
    def eps(self) -> Fraction:
        """Radius in pixels."""

    @property
    def norm(self) -> Norm:
        """Of one pixel (``linf``) or of a whole image (``l2``, ``l1``)."""


def grey_levels(eps: Fraction) -> str:
    """``5/255`` for Fraction(1, 51): as tables name a radius."""
    scaled = eps * 255
    return f"{scaled if scaled.denominator == 1 else f'{float(scaled):g}'}/255"


def lengths(change: torch.Tensor, norm: Norm = "l2") -> torch.Tensor:
    """Norm of each sample's change, (N, 1, 1, 1) for (N, C, H, W)."""
    flat: torch.Tensor = torch.linalg.vector_norm(change.flatten(1), ord=_ORDER[norm], dim=1)
    return flat[:, None, None, None]


def project(
    moved: torch.Tensor, origin: torch.Tensor, eps: float | torch.Tensor, norm: Norm, exact: bool = False
) -> torch.Tensor:
    """Pixels within ``eps`` of ``origin`` and within [0, 1]: the nearest ones for ``linf`` and ``l1``.

    For ``l2`` first the nearest within the ball, then within the box, which leaves no ball: it brings a pixel nearer to
    an origin that is itself within [0, 1]. With ``exact`` the nearest within both.
    """
    if norm == "linf":
        return torch.minimum(torch.maximum(moved, origin - eps), origin + eps).clamp_(0, 1)
    if norm == "l1":
        return project_l1(moved, origin, eps)
    if exact:
        return project_l2(moved, origin, eps)
    change = moved - origin
    # a hair inside: the sum and the norm are rounded
    shrink = (eps * (1 - ROUNDING / 4) / lengths(change).clamp_min(_TINY)).clamp_max(1)
    return (origin + change * shrink).clamp_(0, 1)


def unit(direction: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Where a step of size 1 leads: the sign, or the direction at length 1; zero stays zero.

    Steps in ``l1`` depend on the box: see ``steepest_l1``.
    """
    return direction.sign() if norm == "linf" else direction / lengths(direction, norm).clamp_min(_TINY)


def steepest(
    gradient: torch.Tensor, now: torch.Tensor, size: torch.Tensor, norm: Norm, pixels: int = 1
) -> torch.Tensor:
    """The change of length ``size`` that climbs most: what a step adds, before the projection.

    In ``l2`` and ``l1`` pixels that the box holds where they are do not count, and are pushed past it nevertheless: so
    the projection, which shortens every pixel's change, leaves them where they are. In ``l1`` at least so many
    ``pixels`` share the length. Zero where there is no slope.
    """
    if norm == "linf":
        return size * gradient.sign()
    if norm == "l1":
        return steepest_l1(gradient, now, size, pixels)
    # first to a largest entry of 1: the squares of a tiny gradient would underflow
    direction = gradient / lengths(gradient, "linf").clamp_min(_TINY)
    held = ((gradient < 0) & (now <= 0)) | ((gradient > 0) & (now >= 1))
    free = lengths(torch.where(held, 0, direction))
    step = direction * (size / free.clamp_min(_TINY))
    return torch.minimum(torch.maximum(step, -size), size)


def random_start(x: torch.Tensor, eps: float | torch.Tensor, norm: Norm, noise: Noise) -> torch.Tensor:
    """Pixels drawn uniformly from the ball around ``x``, then brought into [0, 1]; drawn on the CPU, in float32."""
    if norm == "l1":
        return project(x + start_l1(x, eps, noise), x, eps, norm)
    if norm == "linf":
        drawn = noise.uniform(*x.shape[1:]) * 2 - 1
    else:
        drawn = noise.normal(*x.shape[1:])
        radius = noise.uniform(1, 1, 1) ** (1 / max(1, x[0].numel()))
        drawn = drawn / lengths(drawn).clamp_min(_TINY) * radius
    return project(x + eps * drawn.to(x), x, eps, norm)


def check_pixels(
    x: torch.Tensor,
    name: str = "",
    advice: str = "the normalisation belongs into the model: featmask.Normalized(model, mean, std)",
) -> None:
    """Refuse pixels, of any shape, outside [0, 1] or NaN; none at all pass.

    The message begins with the ``name`` of what takes them, and ends with ``advice``.
    """
    if not x.numel():
        return
    low, high = (float(value) for value in x.detach().aminmax())
    if not (low >= 0 and high <= 1):  # NaN fails too
        raise FeatmaskError(
            f"{name and f'{name}: '}expected pixels in [0, 1], got {low:g} to {high:g}{advice and f'; {advice}'}"
        )


def check_budget(adversarial: torch.Tensor, x: torch.Tensor, attack: Budget, eps: torch.Tensor | None = None) -> None:
    """Recompute the change from the pixels alone, in float64, whatever the attack did.

    ``eps`` are radii that replace the attack's own, (N,).

    Raises:
        FeatmaskError: another shape, a change above eps + 1e-6, a pixel outside [0, 1], or one that is not finite.
    """
    if adversarial.shape != x.shape:
        raise FeatmaskError(f"{attack.name} returned {tuple(adversarial.shape)} for pixels {tuple(x.shape)}")
    if not x.numel():
        return
    after = adversarial.detach().cpu().double()
    change = (after - x.detach().cpu().double()).flatten(1)
    norms = torch.linalg.vector_norm(change, ord=_ORDER[attack.norm], dim=1)
    largest = float(norms.max())
    radii = float(attack.eps) if eps is None else eps.detach().cpu().double().flatten()
    inside = bool(after.isfinite().all()) and float(after.min()) >= 0 and float(after.max()) <= 1
    if not (bool((norms <= radii + ROUNDING).all()) and inside):  # NaN fails too
        raise FeatmaskError(f"{attack.name} left its budget: largest change {largest:g}, within [0, 1]: {inside}")


def quantised(adversarial: torch.Tensor, x: torch.Tensor | None = None, attack: Budget | None = None) -> torch.Tensor:
    """Pixels as an 8-bit image holds them: multiples of 1/255.

    Plain rounding to the nearest level can leave the ball by half a level. With the clean pixels and the budget, each
    pixel takes the nearest level that stays inside:

    * ``linf``: between the innermost levels of x - eps and x + eps. They exist for every x if eps >= 0.5/255, and for
      every eps if x is 8-bit itself. Otherwise the pixel takes the nearest level, and ``check_budget`` may object.
    * ``l2``, ``l1``: samples whose rounded change is too long are rounded towards x instead, which never lengthens the
      change of an x that is 8-bit itself.

    Raises:
        FeatmaskError: one of ``x`` and ``attack`` without the other.
    """
    if (x is None) != (attack is None):
        raise FeatmaskError("quantised: expected the clean pixels and the attack together, or neither")
    levels = (adversarial * 255).round()
    if x is not None and attack is not None:
        clean, eps = x * 255, float(attack.eps) * 255
        if attack.norm == "linf":
            low, high = (clean - eps - _HAIR).ceil(), (clean + eps + _HAIR).floor()
            levels = torch.where(low <= high, torch.minimum(torch.maximum(levels, low), high), levels)
        else:
            down, up = (adversarial * 255 + _HAIR).floor(), (adversarial * 255 - _HAIR).ceil()
            nearer = torch.where(adversarial > x, down, up)
            long = lengths(levels - clean, attack.norm) > eps
            levels = torch.where(long, nearer, levels)
    return levels.clamp(0, 255) / 255
