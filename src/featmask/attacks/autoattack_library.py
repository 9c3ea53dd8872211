"""What stands between pyautoattack and everything else: see ``autoattack`` for the faults that it keeps away."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..errors import require
from .attack import Model

#: Norms as the library calls them.
LIBRARY_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}


class Asked:
    """The model as the library may have it: nothing that it does to logits or gradients reaches the model."""

    def __init__(self, model: Model, passes: int) -> None:
        self.model, self.passes, self.classes = model, passes, 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes); the mean of several passes where no gradient is wanted."""
        if not len(x):
            return x.new_zeros(0, self.classes)
        if torch.is_grad_enabled() and x.requires_grad:
            answer: torch.Tensor = _Tracked.apply(x, self.model)
            return answer
        with torch.no_grad():
            logits = self.model(x).clone()
            for _ in range(self.passes - 1):
                logits += self.model(x)
        self.classes = logits.shape[1]
        return logits / self.passes


class _Tracked(torch.autograd.Function):
    """Logits whose gradient ends at the pixels; zero where the model has none."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, model: Model) -> torch.Tensor:
        with torch.enable_grad():
            ctx.leaf = x.detach().requires_grad_()
            ctx.logits = logits = model(ctx.leaf)
        return logits.detach().clone()

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        slope = None
        if ctx.logits.requires_grad:
            # FAB comes back to the same graph, class by class
            (slope,) = torch.autograd.grad(ctx.logits, ctx.leaf, upstream[0], retain_graph=True, allow_unused=True)
        return torch.zeros_like(ctx.leaf) if slope is None else slope.contiguous(), None


def ensemble_examples(
    asked: Asked, x: torch.Tensor, y: torch.Tensor, attacks: list[str], targets: tuple[int, int], **settings: Any
) -> torch.Tensor:
    """The library's examples for contiguous pixels, whatever they are worth; the trace function is put back.

    Args:
        asked: the model.
        x: (N, C, H, W) in [0, 1].
        y: (N,) labels.
        attacks: those that are run, by the library's names.
        targets: how many classes targeted APGD and targeted FAB try.
        **settings: the library's own: ``norm``, ``eps``, ``seed``, ``version`` (numbers of steps, restarts and passes).
    """
    library = require("pyautoattack", "attacks")
    ensemble = library.AutoAttack(asked, device=x.device, **settings)
    ensemble.attacks_to_run = attacks
    ensemble.apgd_targeted.n_target_classes, ensemble.fab.n_target_classes = targets
    tracer = sys.gettrace()
    try:
        adversarial: torch.Tensor = ensemble.run_standard_evaluation(x, y, batch_size=len(x))[0]
    finally:
        sys.settrace(tracer)
    return adversarial


@contextmanager
def apart() -> Iterator[None]:
    """The random states and the library's log, put back as they were."""
    log = logging.getLogger("auto-attack")
    disabled, python, numpy = log.disabled, random.getstate(), np.random.get_state()  # noqa: NPY002
    cards = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    try:
        log.disabled = True
        with torch.random.fork_rng(devices=list(cards)):
            yield
    finally:
        log.disabled = disabled
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def square_fits(height: int, width: int) -> bool:
    """Whether the grid of the library's Square in L2 and L1 stays inside the image."""
    side = height // 5
    first = (height - 5 * side) // 2
    return side > 0 and all(first + length // side * side <= length for length in (height, width))
