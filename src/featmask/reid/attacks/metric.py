"""Gradient attacks on retrieval: they move an image's feature, and know nothing of classes.

Pixels are in [0, 1]; eps and steps are in pixel units, 5/255 for example. Distances are squared Euclidean ones between
the features that retrieval compares. With f the embedding, x the clean image and x' the attacked one:

=================  ===============================================================================  ============
kind               maximised, for each image                                                        start
=================  ===============================================================================  ============
fgsm               mean over guides g of ``|f(x') - g|^2``, one step (Bai et al. 2019)                image
ifgsm, mifgsm      the same, iterated; with momentum (Dong et al. 2018)                              image
sma                ``|f(x') - f(x)|^2`` (Bouniot et al. 2020)                                         random
fna                mean over guides of ``|f(x') - g|^2``, less ``|f(x') - pull|^2`` (Bouniot 2020)    image
odfa               ``-|f(x') + f(x)|^2``: towards the opposite of f(x) (Zheng et al. 2018)            random
lta                ``|f(x') - f(grey(x))|^2``, momentum (Gong et al. 2022)                            image
=================  ===============================================================================  ============

SMA starts at random because its gradient at the image is zero. So is ODFA's where features have length 1; there both
objectives are 2 - 2 cos + constant, the same attack. ``grey`` turns a random rectangle grey, anew at each step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

import torch

from ...attacks import Stream, budget_text
from ...attacks.ball import check_pixels, project, random_start, unit
from ...attacks.mifgsm import accumulate
from ...data.grey import grey_patches
from ...errors import FeatmaskError
from ...records import names
from ..kinds import MetricKind
from .embedding import Embed, check_features, gradient_of, mean_features
from .guides import Guides

__all__ = ["Embed", "MetricAttack", "perturb"]

Norm = Literal["linf", "l2"]

_RANDOM, _HEAVY = {"sma", "odfa"}, {"mifgsm", "lta"}


@dataclass(frozen=True)
class MetricAttack:
    """One attack on retrieval with its budget.

    Attributes:
        kind: see the module's table.
        eps: in pixels: of each pixel's change for ``linf``, of the whole image's change for ``l2``.
        steps: gradient steps; ``fgsm`` always makes one, of size eps.
        step_size: of one step in pixels. None: 2.5 * eps / steps for ``l2``; the same for ``linf``, but at least 1/255,
            the field's usual step: so the ball can be crossed at every eps.
        norm: of the ball.
        momentum: share of the past that ``mifgsm`` and ``lta`` keep.
        eot: passes that gradients and objectives are averaged over, for models that are left random.
    """

    kind: MetricKind
    eps: Fraction
    steps: int = 15
    step_size: float | None = None
    norm: Norm = "linf"
    momentum: float = 1.0
    eot: int = 1

    def __post_init__(self) -> None:
        if self.kind not in get_args(MetricKind) or self.norm not in get_args(Norm):
            kinds, norms = ", ".join(get_args(MetricKind)), ", ".join(get_args(Norm))
            raise FeatmaskError(
                f"expected a kind of {kinds} and a norm of {norms}; got {self.kind!r} and {self.norm!r}"
            )
        if self.norm == "linf" and not 0 <= self.eps <= 1:
            raise FeatmaskError(f"eps: expected pixels in [0, 1], for example 5/255; got {self.eps}")
        if not 0 <= self.eps < math.inf:
            raise FeatmaskError(f"eps: expected a radius of 0 or more for the whole image; got {self.eps}")
        if self.steps < 1 or self.eot < 1:
            raise FeatmaskError(f"steps and eot must be 1 or more, got {self.steps} and {self.eot}")
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise FeatmaskError(f"step_size: expected pixels above 0, or None; got {self.step_size}")
        if not 0 <= self.momentum < math.inf:
            raise FeatmaskError(f"momentum: expected 0 or more, got {self.momentum}")

    @property
    def name(self) -> str:
        """For tables: ``fna@5/255``, ``fna-l2@1``."""
        return names.Kind(self.kind, norm=self.norm).at(budget_text(self.eps, self.norm))

    @property
    def needs_guides(self) -> bool:
        """Whether ``perturb`` must be given guides."""
        return self.kind in names.GUIDED

    def stride(self) -> float:
        """Size of one step in pixels, by the rule at ``step_size``."""
        eps = float(self.eps)
        if self.kind == "fgsm":
            return eps
        if self.step_size is not None:
            return self.step_size
        crossing = 2.5 * eps / self.steps
        return crossing if self.norm == "l2" else max(1 / 255, crossing)


@dataclass(frozen=True)
class _Aim:
    """sum over k of weight_k |f - push_k|^2, less pull_weight |f - pull|^2: every objective of the table."""

    push: torch.Tensor
    weight: torch.Tensor
    pull: torch.Tensor
    pull_weight: torch.Tensor

    def value(self, features: torch.Tensor) -> torch.Tensor:
        away = ((features[:, None] - self.push).square().sum(2) * self.weight).sum(1)
        return away - (features - self.pull).square().sum(1) * self.pull_weight


def perturb(
    attack: MetricAttack,
    embed: Embed,
    x: torch.Tensor,
    guides: Guides | None = None,
    *,
    generator: torch.Generator | None = None,
    clean: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return adversarial pixels for ``x``.

    An image without a guide falls back to SMA's objective and random start. A sample's result does not depend on its
    neighbours, but what is drawn for it depends on its place in the batch.

    Each gradient pass also gives the objective, so the best image met is kept without a further pass, for each sample:
    the last one, which is not measured, is returned where the one before it was the best so far, else the best so far.
    FGSM has one image only, and LTA's objective is another at each step: both return the last.

    Args:
        attack: which, and how far.
        embed: pixels -> features; in eval mode.
        x: (N, C, H, W) in [0, 1].
        guides: from ``choose_guides``, for the same N images; the kinds with ``needs_guides`` need them.
        generator: of random starts and grey rectangles, on the CPU: the same on every device.
        clean: (N, D) clean features, if they are known; None: computed where they are needed.

    Raises:
        FeatmaskError: pixels outside [0, 1], guides that are missing or do not fit, or features without a finite
            gradient.
    """
    _check_pixels(attack, x)
    if not len(x):
        return x.clone()
    origin, eps, stride = x.detach(), float(attack.eps), attack.stride()
    with torch.inference_mode(False):
        aim, lone = _aim(attack, embed, origin, guides, clean)
        now = origin.clone()
        if bool(lone.any()):
            now[lone] = random_start(origin, eps, attack.norm, Stream(len(origin), generator))[lone]
        best, best_score = now, now.new_full((len(now),), -torch.inf)
        velocity = torch.zeros_like(now)
        for _ in range(1 if attack.kind == "fgsm" else attack.steps):
            if attack.kind == "lta":
                aim = _away(mean_features(embed, grey_patches(origin, generator), attack.eot))
            gradient, score = gradient_of(embed, now, aim.value, attack.eot)
            rising = score >= best_score
            best, best_score = torch.where(rising[:, None, None, None], now, best), torch.maximum(score, best_score)
            velocity = accumulate(velocity, gradient, attack.momentum) if attack.kind in _HEAVY else gradient
            now = project(now + stride * unit(velocity, attack.norm), origin, eps, attack.norm)
        if attack.kind == "lta":
            return now
        return torch.where(rising[:, None, None, None], now, best)


def _aim(
    attack: MetricAttack, embed: Embed, x: torch.Tensor, guides: Guides | None, clean: torch.Tensor | None
) -> tuple[_Aim, torch.Tensor]:
    """The objective, and which samples start at random because its gradient may be zero at the image."""
    alone = torch.full((len(x),), attack.kind in _RANDOM, device=x.device)
    if attack.kind == "lta":
        return _away(x.new_zeros(len(x), 1)), alone  # another at each step
    if attack.needs_guides:
        guides = _fitting(attack, guides, x)
        alone = ~guides.push_mask.any(1)
        push, weight = guides.push.clone(), guides.push_mask.to(x)
        pull, pull_weight = guides.pull, x.new_full((len(x),), float(attack.kind == "fna"))
        if not bool(alone.any()):
            return _Aim(push, weight / weight.sum(1, keepdim=True), pull, pull_weight), alone
    own = mean_features(embed, x, attack.eot) if clean is None else clean.detach().to(x)
    check_features(own, x)
    if attack.kind == "sma":
        return _away(own), alone
    if attack.kind == "odfa":
        return _Aim(own[:, None], x.new_zeros(len(x), 1), -own, x.new_ones(len(x))), alone
    push[alone, 0], weight[alone, 0], pull_weight[alone] = own[alone], 1.0, 0.0
    return _Aim(push, weight / weight.sum(1, keepdim=True), pull, pull_weight), alone


def _away(features: torch.Tensor) -> _Aim:
    ones = features.new_ones(len(features))
    return _Aim(features[:, None], ones[:, None], features, 0 * ones)


def _fitting(attack: MetricAttack, guides: Guides | None, x: torch.Tensor) -> Guides:
    """The guides on the pixels' device, in their precision, if they are for these images."""
    if guides is None:
        raise FeatmaskError(f"{attack.name} needs guides: pass those of choose_guides(...) for the same images")
    push, mask, pull = guides.push, guides.push_mask, guides.pull
    if push.dim() != 3 or push.shape[:2] != mask.shape or pull.shape != (len(x), push.shape[2]) or len(push) != len(x):
        raise FeatmaskError(
            f"guides: expected push (N, K, D), push_mask (N, K) and pull (N, D) with N = {len(x)}; "
            f"got {tuple(push.shape)}, {tuple(mask.shape)} and {tuple(pull.shape)}"
        )
    return Guides(push.to(x), mask.to(x.device, torch.bool), pull.to(x))


def _check_pixels(attack: MetricAttack, x: torch.Tensor) -> None:
    if x.dim() != 4 or not x.is_floating_point():
        raise FeatmaskError(f"expected pixels (N, C, H, W) as floats, got {x.dtype} {tuple(x.shape)}")
    if attack.kind == "lta" and x.shape[1] != 3:
        raise FeatmaskError(f"lta turns colour images grey: expected 3 channels, got {x.shape[1]}")
    check_pixels(x, advice="the normalisation belongs into embed")
