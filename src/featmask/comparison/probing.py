"""How long an epoch and a measurement should take, from a few steps of the real thing."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from torch import nn

from ..devices import pick_device
from ..evaluation import Options, expand, plan_of
from ..experiment import make_model, put_method
from ..recipe import AnyRecipe, ClassificationRecipe, ReidRecipe
from ..tasks import Task
from ..tasks.classification import Classification
from .opened import opened

_Batch = list[torch.Tensor]
#: Batches that are timed, after one that warms up.
STEPS = 4
#: What multiplies to the passes of an attack, and what counts where an attack does not have it: AutoAttack's hundreds.
_PASSES = {"steps": 500, "restarts": 1, "targets": 1}


class Cost(NamedTuple):
    """Seconds of one run's parts."""

    epoch: float
    measuring: float


def probe(recipe: AnyRecipe, method: str, device: str) -> Cost:
    """Time some steps of a method's training, and some passes, on this machine.

    Measuring is estimated by its passes: a gradient step is a forward and a backward one.
    """
    own = recipe.under(method)
    task = opened(recipe, measured=False)
    model = make_model(own, task, 0)
    put_method(own, method, model, task)
    lesson = task.lesson(own, model, 0)
    place = torch.device(pick_device(device))
    taught = nn.ModuleList([model, lesson.objective]).to(place).train()
    loader = lesson.loader(own.train)
    batches = [[part.to(place) for part in batch] for batch in itertools.islice(loader, 1 + STEPS)]

    def step(batch: _Batch) -> None:
        if own.train.channels_last:
            batch[0] = batch[0].contiguous(memory_format=torch.channels_last)
        lesson.objective(model, *batch[:3])[0].backward()
        taught.zero_grad(set_to_none=True)

    epoch = _seconds(step, batches, place) * len(loader)
    model.eval().requires_grad_(False)

    def forward(batch: _Batch) -> None:
        with torch.no_grad():
            model(batch[0])

    def gradient(batch: _Batch) -> None:
        model(batch[0].detach().requires_grad_()).sum().backward()

    size = len(batches[0][0])
    once, back = (_seconds(call, batches, place) / size for call in (forward, gradient))
    return Cost(epoch, _measuring(own, task, once, back))


def _seconds(
    call: Callable[[list[torch.Tensor]], None], batches: list[list[torch.Tensor]], device: torch.device
) -> float:
    """The median of a batch; the first one warms up."""
    found = []
    for batch in batches:
        start = time.perf_counter()
        call(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - start)
    return median(found[1:] or found)


def _measuring(recipe: AnyRecipe, task: Task, forward: float, gradient: float) -> float:
    if isinstance(recipe, ReidRecipe):
        attacks = [suite for suite in recipe.evaluate.suites if suite.startswith("attack")]
        queries = recipe.evaluate.attack_queries or 0
        steps = len(recipe.evaluate.attacks) * len(recipe.evaluate.eps) * recipe.evaluate.steps
        return len(attacks) * queries * steps * gradient
    assert isinstance(recipe, ClassificationRecipe)
    assert isinstance(task, Classification)
    total, options = 0.0, Options.of(recipe.evaluate)
    test, classes = len(task.splits.test), len(task.splits.classes)
    for suite in expand(recipe.evaluate.suites):
        plan = plan_of(suite, options, classes)
        count = test if suite == "clean" else min(test, recipe.evaluate.attack_samples or test)
        total += count * forward * (1 + len(plan.corruptions) * len(plan.severities))
        for attack in plan.attacks:
            parts = [getattr(attack, key, default) for key, default in _PASSES.items()]
            total += count * math.prod(max(1, part) for part in parts) * (gradient if attack.gradients else forward)
    return total
