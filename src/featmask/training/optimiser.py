"""Optimisers and learning rates as functions of the recipe and the step; nothing to save, nothing to restore."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..recipe import Train

#: In a parameter group: what the learning rate of the step is multiplied by.
SCALE = "scale"


def make_optimizer(
    model: nn.Module, settings: Train, scale: Callable[[str], float] = lambda _: 1.0
) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, Adam (decay in the gradient) or AdamW.

    Args:
        model: its parameters that require gradients are trained.
        settings: the recipe's ``train``. Biases and norms (one-dimensional parameters) are decayed if it says
            ``decay_all``.
        scale: share of the learning rate that a parameter of that name gets.
    """
    grouped: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decayed = settings.decay_all or parameter.ndim > 1
            grouped.setdefault((scale(name), decayed), []).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": grouped[key], "weight_decay": settings.weight_decay * key[1], SCALE: key[0]}
        for key in sorted(grouped, reverse=True)
    ]
    if settings.optimizer == "sgd":
        nesterov = settings.momentum > 0
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=nesterov)
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=settings.lr)
    return torch.optim.AdamW(groups, lr=settings.lr)


def rate_at(settings: Train, epoch: float, step: int, steps: int) -> float:
    """The learning rate at a step.

    Args:
        settings: the recipe's ``train``.
        epoch, step: epochs, with a fraction, and steps passed since the start of training.
        steps: per epoch.
    """
    warmup = _warmup(settings, steps)
    if step < warmup:
        return settings.lr * (_ramp(settings, step, warmup) if settings.warmup_of == "rate" else 1.0)
    if settings.schedule == "cosine":
        passed_epochs = warmup / steps
        length = max(1.0, settings.epochs - passed_epochs)
        passed = min(1.0, (epoch - passed_epochs) / length)
        return settings.lr * 0.5 * (1 + math.cos(math.pi * passed))
    if settings.schedule == "steps":
        return settings.lr * settings.gamma ** sum(epoch >= milestone for milestone in settings.milestones)
    return settings.lr


def loss_scale_at(settings: Train, step: int, steps: int) -> float:
    """What the loss is multiplied by at a step: below 1 during a warm-up of the loss."""
    warmup = _warmup(settings, steps)
    return _ramp(settings, step, warmup) if settings.warmup_of == "loss" and step < warmup else 1.0


def _warmup(settings: Train, steps: int) -> float:
    """Steps of warming up."""
    return settings.warmup_steps or settings.warmup_epochs * steps


def _ramp(settings: Train, step: int, warmup: float) -> float:
    return settings.warmup_start + (1 - settings.warmup_start) * (step + 1) / (warmup + 1)
