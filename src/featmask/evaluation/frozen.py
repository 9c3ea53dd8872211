"""What every evaluation must hold to (eval mode, full float32, no randomness), and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
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
def full_float32() -> Iterator[None]:
    """Products and convolutions in float32 with all of its bits, on every device; settings are put back afterwards.

    TF32 has ten bits of mantissa, too few to measure a change of 1/255 with, and is torch's default for convolutions.
    """
    kept = []
    for read, write, _ in _precisions():
        with suppress(RuntimeError):  # torch's older switches cannot be read where its newer ones say something else
            kept.append((write, read()))
    try:
        for _, write, full in _precisions():
            write(full)
        yield
    finally:
        for write, before in kept:
            write(before)


def _precisions() -> Iterator[tuple[Callable[[], Any], Callable[[Any], None], Any]]:
    """How each precision of float32 is read and written, and what stands for all bits."""
    cudnn: Any = torch.backends.cudnn
    yield partial(getattr, cudnn, "allow_tf32"), partial(setattr, cudnn, "allow_tf32"), False
    yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
    if hasattr(cudnn, "conv"):  # torch 2.9 and later; written last, since these win
        mkldnn: Any = torch.backends.mkldnn
        matmul = torch.backends.cuda.matmul
        for part in (cudnn.conv, cudnn.rnn, matmul, mkldnn.conv, mkldnn.rnn, mkldnn.matmul):
            yield partial(getattr, part, "fp32_precision"), partial(setattr, part, "fp32_precision"), "ieee"


@contextmanager
def frozen(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode on every submodule, no gradients for parameters, float32 throughout; all put back afterwards.

    The model is moved to ``device`` and stays there.
    """
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        model.requires_grad_(False).to(device)
        with evaluating(model), full_float32(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        for parameter, flag in wanted.items():
            parameter.requires_grad_(flag)


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
