"""What every evaluation must hold to, and what it gives: a record, and an outcome for every sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from ..errors import FeatmaskError
from ..records.suite import Suite, write_suite
from ..utils.eval_mode import evaluating


@dataclass(frozen=True)
class Evaluation:
    """A suite's figures and its per-sample columns."""

    suite: Suite
    samples: dict[str, npt.NDArray[Any]]

    def save(self, folder: str | Path) -> None:
        """Write both into a run's folder."""
        write_suite(folder, self.suite, self.samples)


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters lie; the CPU where it has none."""
    tensor = next(model.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device


@contextmanager
def frozen(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode on every submodule, no gradients for parameters, float32 throughout; all put back afterwards.

    The model is moved to ``device`` and stays there.
    """
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    tf32 = torch.backends.cudnn.allow_tf32
    try:
        # ten bits of mantissa are not what an attack of 1/255 is measured with
        torch.backends.cudnn.allow_tf32 = False
        model.requires_grad_(False).to(device)
        with evaluating(model), torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
        for parameter, flag in wanted.items():
            parameter.requires_grad_(flag)


def check_range(pixels: torch.Tensor) -> None:
    """Refuse what is no pixels in [0, 1].

    Raises:
        FeatmaskError: values outside [0, 1], or NaN.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):  # NaN fails too
        raise FeatmaskError(
            f"expected pixels in [0, 1], got {low:g} to {high:g}; put the normalisation inside: "
            "featmask.Normalized(model, mean, std)"
        )


def is_random(
    model: Callable[[torch.Tensor], torch.Tensor], pixels: torch.Tensor, first: torch.Tensor, allowed: bool = False
) -> bool:
    """Whether a second pass over the same images gives something else than the first.

    Raises:
        FeatmaskError: it does, and that is not allowed.
    """
    with torch.no_grad():
        if torch.equal(first, model(pixels).to(first)):
            return False
    if not allowed:
        raise FeatmaskError(
            "two passes over the same images differ in eval mode: the model is still random (is a mask or dropout left "
            "on?); if that is its defence, say allow_stochastic=True"
        )
    return True
