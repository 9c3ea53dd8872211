"""What a layer drops, measured, whatever the layer."""

from __future__ import annotations

import copy

import torch
from torch import nn


def dropped_by(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Which values of ``x`` (N, C, H, W) a layer drops, boolean: those that no gradient of the summed output reaches.

    That holds for layers that zero, that overwrite and that rescale what is left. ``x`` stays as it is.
    """
    with torch.enable_grad():
        entering = x.detach().requires_grad_()
        # multiplied by one: a layer that works in place must not meet a leaf
        (grad,) = torch.autograd.grad(layer(entering * 1.0).sum(), entering)
    return grad == 0


def dropped_fraction(
    layer: nn.Module | None, shape: tuple[int, int, int], *, samples: int = 512, batch_size: int = 16, seed: int = 0
) -> float:
    """Measure the share of values that a layer drops in training: see :func:`dropped_by`.

    Args:
        layer: any layer that takes (N, C, H, W); None drops nothing.
        shape: (C, H, W) of the maps it sees.
        samples: how many samples to run; the coin of a ``per="batch"`` layer falls only samples / batch_size times.
        batch_size: samples per forward pass.
        seed: of the random numbers, which are put back afterwards.
    """
    if layer is None:
        return 0.0
    layer = copy.deepcopy(layer).train()  # a copy: flags, statistics and a private generator stay as they were
    dropped = 0.0
    batches = max(1, samples // batch_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(batches):
            x = torch.rand(batch_size, *shape).add_(0.5)
            dropped += float(dropped_by(layer, x).double().mean())
    return dropped / batches
