"""Normalisation as a part of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..errors import FeatmaskError


class Normalized(nn.Module):
    """A model that takes pixels in [0, 1]: normalisation happens inside, so that attacks act on pixels.

    Args:
        model: takes normalised images (N, C, H, W).
        mean, std: a number per channel, in [0, 1] units.

    Images with one channel are repeated where ``mean`` has more: a perturbation of a grey photograph stays grey.

    Raises:
        FeatmaskError: lengths that differ, or a standard deviation that is not positive.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean or min(std) <= 0:
            raise FeatmaskError(f"expected a mean and a positive std for each channel, got {list(mean)}, {list(std)}")
        self.model = model
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: torch.Tensor) -> Any:
        """What the model gives for pixels (N, C, H, W) in [0, 1]: a classifier's logits, an embedder's features."""
        if pixels.shape[1] == 1 and self.mean.shape[1] > 1:
            # before the normalisation: a convolution then sees a dense tensor in the caller's memory format
            pixels = pixels.expand(-1, self.mean.shape[1], -1, -1)
        return self.model((pixels - self.mean) / self.std)
