"""A model's output: where its logits are, whether they are logits, and whether gradients lead back to the pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ..errors import FeatmaskError


def logits_of(output: Any) -> torch.Tensor:
    """The logits in a model's output: a tensor, an array, ``.logits``, ``["logits"]``, or the first of a tuple."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, np.ndarray):
        return torch.tensor(output, dtype=torch.float32)
    if isinstance(output, Mapping) and "logits" in output:
        return logits_of(output["logits"])
    if hasattr(output, "logits"):
        return logits_of(output.logits)
    if isinstance(output, (tuple, list)) and output and isinstance(output[0], (torch.Tensor, np.ndarray)):
        return logits_of(output[0])
    raise FeatmaskError(
        f"found no logits in the model's output of type {type(output).__name__}; wrap a function that returns them"
    )


def one_row_per_image(logits: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Logits on the pixels' device, after a check that they are (N, classes)."""
    if logits.dim() == 1 or (logits.dim() == 2 and logits.shape[1] == 1):
        raise FeatmaskError(
            f"the model gives one number per image, shape {tuple(logits.shape)}; if it is the logit of the second of "
            "two classes, say single_logit=True"
        )
    if logits.dim() != 2 or len(logits) != len(pixels):
        raise FeatmaskError(f"expected logits (N, classes) with N = {len(pixels)}, got {tuple(logits.shape)}")
    return logits.to(pixels.device)


def two_columns(logits: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """The logits (0, z) of a binary classifier that gives one logit z per image, which is checked, on their device."""
    if tuple(logits.shape) not in ((len(pixels),), (len(pixels), 1)):
        raise FeatmaskError(
            f"single_logit=True expects one number for each of {len(pixels)} images, got {tuple(logits.shape)}"
        )
    z = logits.reshape(-1).to(pixels.device)
    return torch.stack((torch.zeros_like(z), z), 1)


def is_differentiable(model: Callable[[torch.Tensor], torch.Tensor], example: torch.Tensor) -> bool:
    """Whether autograd connects the model's logits with its pixels, by a forward and a backward pass of an example.

    One image (1, C, H, W) in [0, 1] is enough. A gradient that is zero everywhere counts as one: that is gradient
    masking, which the doctor looks for.
    """
    with torch.no_grad():
        model(example)  # a mistake in here is for the caller to see; one below means that there are no gradients
    pixels = example.detach().clone().requires_grad_()
    try:
        with torch.enable_grad():
            torch.autograd.grad(model(pixels).sum(), pixels)  # raises where no path leads back to the pixels
    except RuntimeError:
        return False
    return True


def looks_like_probabilities(logits: torch.Tensor) -> bool:
    """Whether the outputs (N, classes) are in [0, 1] and each row sums to 1: a softmax sits where logits belong."""
    rows = logits.detach().double()
    if rows.dim() != 2 or rows.shape[1] < 2 or not len(rows) or not bool(rows.isfinite().all()):
        return False
    inside = bool((rows >= 0).all() and (rows <= 1).all())
    return inside and bool(((rows.sum(1) - 1).abs() <= 1e-3).all())
