"""Optimisers and learning rates as functions of the recipe and the step; nothing to save, nothing to restore."""

from __future__ import annotations

import math

import torch
from torch import nn

from .recipe import Train


def make_optimizer(model: nn.Module, settings: Train) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum or AdamW; biases and norms (one-dimensional parameters) are not decayed."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        nesterov = settings.momentum > 0
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=nesterov)
    return torch.optim.AdamW(groups, lr=settings.lr)


def rate_at(settings: Train, epoch: float, step: int, steps: int) -> float:
    """The learning rate at a step.

    Args:
        settings: the recipe's ``train``.
        epoch: epochs passed, with a fraction.
        step: steps passed since the start of training.
        steps: steps an epoch.
    """
    warmup = settings.warmup_epochs * steps
    if step < warmup:
        return settings.lr * (step + 1) / (warmup + 1)
    if settings.schedule == "cosine":
        length = max(1.0, settings.epochs - settings.warmup_epochs)
        passed = min(1.0, (epoch - settings.warmup_epochs) / length)
        return settings.lr * 0.5 * (1 + math.cos(math.pi * passed))
    if settings.schedule == "steps":
        return settings.lr * settings.gamma ** sum(epoch >= milestone for milestone in settings.milestones)
    return settings.lr
