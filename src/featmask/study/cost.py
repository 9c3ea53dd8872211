"""How long an epoch and a measurement should take, from a few steps of the real thing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from torch import nn

from ..recipe import Recipe
from ..utils.devices import pick_device
from .cached_task import cached_task
from .run import make_model, put_method

_Batch = list[torch.Tensor]
#: Batches that are timed, after one that warms up.
STEPS = 4


class Cost(NamedTuple):
    """Seconds of one run's parts."""

    epoch: float
    measuring: float


def probe(recipe: Recipe, method: str, device: str) -> Cost:
    """Time some steps of a method's training, and some passes, on this machine.

    Measuring is estimated by its passes: a gradient step is a forward and a backward one.
    """
    own = recipe.under(method)
    task = cached_task(recipe, measured=False)
    model = make_model(own, task, 0)
    put_method(own, method, model, task)
    learning = task.training_task(own, model, 0)
    where = torch.device(pick_device(device))
    taught = nn.ModuleList([model, learning.objective]).to(where).train()
    loader = learning.loader(own.train)
    batches = [[part.to(where) for part in batch] for batch in itertools.islice(loader, 1 + STEPS)]

    def step(batch: _Batch) -> None:
        if own.train.channels_last:
            batch[0] = batch[0].contiguous(memory_format=torch.channels_last)
        learning.objective(model, *batch[:3])[0].backward()
        taught.zero_grad(set_to_none=True)

    epoch = _seconds(step, batches, where) * len(loader)
    model.eval().requires_grad_(False)

    def forward(batch: _Batch) -> None:
        with torch.no_grad():
            model(batch[0])

    def gradient(batch: _Batch) -> None:
        model(batch[0].detach().requires_grad_()).sum().backward()

    size = len(batches[0][0])
    once, back = (_seconds(call, batches, where) / size for call in (forward, gradient))
    forwards, gradients = task.passes(own)
    return Cost(epoch, forwards * once + gradients * back)


def _seconds(call: Callable[[_Batch], None], batches: list[_Batch], device: torch.device) -> float:
    """The median per batch; the first one warms up."""
    seconds = []
    for batch in batches:
        start = time.perf_counter()
        call(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:] or seconds)
