"""What an embedding gives an attack: features, and the gradient of an objective with respect to the pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...errors import FeatmaskError

#: Pixels (N, C, H, W) in [0, 1] -> features (N, D), exactly what retrieval compares (L2-normalised for cosine).
Embed = Callable[[torch.Tensor], torch.Tensor]
#: Features (N, D) -> what is maximised, (N,).
Objective = Callable[[torch.Tensor], torch.Tensor]


def mean_features(embed: Embed, x: torch.Tensor, eot: int) -> torch.Tensor:
    """Features without gradient; of a model that is left random, their mean over ``eot`` passes."""
    with torch.no_grad():
        passes = [embed(x) for _ in range(eot)]
    check_features(passes[0], x)
    return passes[0].detach() if eot == 1 else torch.stack(passes).mean(0)


def tracked_features(embed: Embed, x: torch.Tensor) -> torch.Tensor:
    """Features that gradients can flow back from."""
    features = embed(x)
    check_features(features, x)
    if not features.requires_grad:
        raise FeatmaskError("embed's features have no gradient: it must not detach, nor run under no_grad")
    return features


def gradient_of(embed: Embed, now: torch.Tensor, objective: Objective, eot: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient and value of the objective, both averaged over ``eot`` passes."""
    total, scores = torch.zeros_like(now), now.new_zeros(len(now))
    for _ in range(eot):
        with torch.enable_grad():
            leaf = now.detach().clone().requires_grad_()
            score = objective(tracked_features(embed, leaf))
            # summed, not averaged: the gradient of a sample does not depend on its neighbours
            (gradient,) = torch.autograd.grad(score.sum(), leaf, allow_unused=True)
        if gradient is None:
            raise FeatmaskError("embed's features do not depend on the pixels it was given: no gradient reaches them")
        total, scores = total + gradient, scores + score.detach().to(scores)
    if not bool(total.isfinite().all()):
        raise FeatmaskError("the gradient with respect to the pixels is not finite (NaN or infinity): check embed")
    return total / eot, scores / eot


def check_features(features: object, x: torch.Tensor) -> None:
    """Refuse features that are no matrix with a row for each image."""
    if not isinstance(features, torch.Tensor) or features.dim() != 2 or len(features) != len(x):
        shape = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
        raise FeatmaskError(f"expected features of shape (N, D) with N = {len(x)}, got {shape}")
