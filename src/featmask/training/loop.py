"""Training one model: a plain loop on accelerate that survives a kill.

Every epoch seeds all random numbers from (seed, epoch) and ends by writing the whole state. A run that was killed goes
on at the last finished epoch and ends, on a CPU, bit for bit where an uninterrupted one does.

Several processes (``torchrun``, ``accelerate launch``) share the batches of one model out: a batch, its augmentation
and the averaged gradient are those of a single process. Masks are drawn by each for its own samples, and BatchNorm sees
the process's own part.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from ..errors import FeatmaskError, require
from ..recipe import Train
from ..utils.devices import check_device
from ..utils.progress import progress
from .log import RunLog
from .optimiser import SCALE, loss_scale_at, make_optimizer, rate_at
from .processes import count, is_main, mean_of_each, on_cpu, part_of_the_mean, rank, totals
from .sampling import Batches, Seeded, Shares, Shuffle
from .state import TrainingState

STATE = "state/last.pt"


@dataclass(frozen=True)
class TrainingTask:
    """What is taught, and how to measure whether it was learned.

    Attributes:
        data: items (pixels, label, weight, row).
        order: of the items: single ones that make batches, or whole batches; both are set to an epoch before it.
        objective: called with (model, pixels, labels, weights), gives the loss and the number of right answers, both
            scalars. Its own parameters, if any, are trained along and forgotten afterwards.
        validate: called with (model, device) after an epoch, gives figures to log, without gradients.
        best_by: the figure, higher is better, by which ``select: best`` chooses; all are named ``val_...``.
        scale: share of the learning rate that a parameter of the model gets, by its name.
    """

    data: Dataset[Any]
    order: Shuffle | Batches
    objective: nn.Module
    validate: Callable[[nn.Module, torch.device], dict[str, float]]
    best_by: str
    scale: Callable[[str], float] = lambda _: 1.0

    def loader(self, settings: Train) -> DataLoader[Any]:
        """Batches in the task's order, or this process's part of each.

        Raises:
            FeatmaskError: the processes cannot share a batch out.
        """
        return DataLoader(
            Seeded(self.data),
            batch_sampler=Shares(self.order, settings.batch_size, rank(), count()),
            num_workers=settings.workers,
            persistent_workers=settings.workers > 0,
        )


def seed_everything(seed: int, epoch: int, process: int = 0) -> None:
    """Seed torch (all devices), NumPy and Python from these numbers alone."""
    state = np.random.SeedSequence([seed, epoch, process]).generate_state(3)
    torch.manual_seed(int(state[0]))
    np.random.seed(int(state[1]))  # noqa: NPY002 - other libraries read the global generator
    random.seed(int(state[2]))


def fit(
    model: nn.Module,
    task: TrainingTask,
    settings: Train,
    *,
    seed: int,
    folder: Path,
    device: str = "auto",
    title: str = "training",
    before_step: Callable[[float], None] | None = None,
) -> nn.Module:
    """Train ``model`` and return the weights that are kept (averaged and selected as ``settings`` say).

    Of several processes each trains; the main one alone validates, writes, and returns the weights that are kept.

    Args:
        model: takes pixels in [0, 1], its mask already attached.
        task: what it is taught.
        settings: the recipe's ``train``.
        seed: of everything random in training.
        folder: gets ``train.jsonl``, ``state/`` and TensorBoard's ``tb/``; an interrupted run there is continued.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        title: shown beside the progress.
        before_step: called before every step with the epochs passed, such as 2.25; for what changes over training. It
            must depend on nothing else, or a continued run would end elsewhere.

    Raises:
        FeatmaskError: the loss is not finite, the device is missing, the processes cannot share a batch out, or the
            state in ``folder`` is another model's.
    """
    accelerator = _accelerator(device, settings.amp)
    if settings.channels_last:
        model = model.to(memory_format=torch.channels_last)
    taught = _ModelAndObjective(model, task.objective)
    optimizer = make_optimizer(taught, settings, lambda name: task.scale(name.removeprefix("model.")))
    loader = task.loader(settings)
    prepared, optimizer = accelerator.prepare(taught, optimizer)
    if count() > 1 and accelerator.device.type == "cpu":
        prepared.register_comm_hook(None, lambda _, bucket: mean_of_each(bucket))
    bare = cast(_ModelAndObjective, accelerator.unwrap_model(prepared))
    average: AveragedModel | None = None
    if settings.ema:
        rule = get_ema_multi_avg_fn(settings.ema)  # type: ignore[no-untyped-call]
        average = AveragedModel(bare.model, multi_avg_fn=rule, use_buffers=True)
    kept: nn.Module = bare.model if average is None else average.module
    state = TrainingState(folder / STATE, bare, optimizer, average, task.best_by)
    first = state.load()
    log = RunLog(folder, settings.tensorboard) if is_main() else None
    if log is not None:
        log.restore(state.lines)
    learner = Epochs(accelerator, prepared, optimizer, loader, settings, average, before_step)
    for epoch in range(first, settings.epochs):
        # each process for itself: samples of two of them must not share masks
        seed_everything(seed, epoch, rank())
        task.order.epoch = epoch
        start = time.perf_counter()
        line = {"epoch": epoch + 1, **learner.epoch(epoch, f"{title}, epoch {epoch + 1}/{settings.epochs}")}
        if log is not None:
            line |= task.validate(kept, accelerator.device)
            line["seconds"] = time.perf_counter() - start
            state.save(epoch + 1, line, kept if settings.select == "best" else None)
            log.append(line)
    if log is not None:
        log.close()
    if state.best is not None:
        kept.load_state_dict(state.best)
    accelerator.free_memory()
    return kept


class _ModelAndObjective(nn.Module):
    """Model and objective as one module: so that what an objective learns is trained, saved and shared along."""

    def __init__(self, model: nn.Module, objective: nn.Module) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, *batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss, right = self.objective(self.model, *batch)
        return loss, right


@dataclass(frozen=True)
class Epochs:
    """One pass over the training data after another."""

    accelerator: Any
    taught: nn.Module
    optimizer: Any
    loader: Any
    settings: Train
    average: AveragedModel | None
    before_step: Callable[[float], None] | None

    def epoch(self, epoch: int, title: str) -> dict[str, float]:
        """Train on every sample once; give the mean loss and the accuracy along the way."""
        self.taught.train()
        steps = len(self.loader)
        loss_sum, right, seen = 0.0, 0, 0
        with progress(title, steps) if is_main() else nullcontext() as bar:
            for step, (pixels, labels, weights, _) in enumerate(self.loader):
                done = epoch * steps + step
                if self.before_step is not None:
                    self.before_step(epoch + step / steps)
                rate = rate_at(self.settings, epoch + step / steps, done, steps)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate * group[SCALE]
                loss, correct = self._step(pixels, labels, weights, loss_scale_at(self.settings, done, steps))
                if not math.isfinite(loss):
                    where = f"epoch {epoch + 1}, step {step + 1}"
                    raise FeatmaskError(f"the loss is not finite in {where}; lower train.lr, or set train.clip_grad")
                loss_sum, right, seen = loss_sum + loss * len(labels), right + correct, seen + len(labels)
                if bar is not None:
                    bar.advance()
        loss_all, right_all, seen_all = totals(loss_sum, right, seen, device=self.accelerator.device)
        return {"lr": rate, "train_loss": loss_all / seen_all, "train_accuracy": right_all / seen_all}

    def _step(
        self, pixels: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, scale: float
    ) -> tuple[float, int]:
        settings, device = self.settings, self.accelerator.device
        # MPS has no float64
        pixels, labels, weights = pixels.to(device), labels.to(device), weights.float().to(device)
        if settings.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        loss, right = self.taught(pixels, labels, weights)
        loss = part_of_the_mean(loss, weights)
        self.accelerator.backward(loss * scale if scale != 1 else loss)
        if settings.clip_grad is not None:
            self.accelerator.clip_grad_norm_(self.taught.parameters(), settings.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update_parameters(self.accelerator.unwrap_model(self.taught).model)
        # one read-back per step, for both figures
        figures = torch.stack([loss.detach().float(), right.float()]).tolist()
        return figures[0], int(figures[1])


def _accelerator(device: str, amp: str) -> Any:
    accelerate = require("accelerate", "train")
    check_device(device)
    # accelerate keeps one state per process; a second run may ask for another precision or device
    require("accelerate.state", "train").AcceleratorState._reset_state(reset_partial_state=True)
    # every step takes the same way through the network, which may leave a head out
    handler = accelerate.DistributedDataParallelKwargs(static_graph=True)
    return accelerate.Accelerator(
        cpu=on_cpu(device), mixed_precision=amp, step_scheduler_with_optimizer=False, kwargs_handlers=[handler]
    )
