"""Training one model: a plain loop on accelerate that survives a kill.

Every epoch seeds all random numbers from (seed, epoch) and ends by writing the whole state. A run that was killed goes
on at the last finished epoch and ends, on a CPU, bit for bit where an uninterrupted one does.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler

from .checkpointing import TrainingState
from .data import Images, Splits
from .devices import check_device
from .errors import FeatmaskError, require
from .modes import evaluating
from .optim import make_optimizer, rate_at
from .progress import progress
from .recipe import Train
from .runlog import RunLog

__all__ = ["fit"]

STATE = "state/last.pt"


class Shuffle(Sampler[int]):
    """A permutation of the samples for every epoch, from (seed, epoch) alone."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed, self.epoch = length, seed, 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        yield from np.random.default_rng([self.seed, self.epoch]).permutation(self.length).tolist()


def seed_everything(seed: int, epoch: int) -> None:
    """Seed torch (all devices), NumPy and Python from one pair of numbers."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(3)
    torch.manual_seed(int(state[0]))
    np.random.seed(int(state[1]))  # noqa: NPY002 - other libraries read the global generator
    random.seed(int(state[2]))


def fit(
    model: nn.Module,
    splits: Splits,
    settings: Train,
    *,
    seed: int,
    folder: Path,
    device: str = "auto",
    title: str = "training",
) -> nn.Module:
    """Train ``model`` and return the weights that are kept (averaged and selected as ``settings`` say).

    Args:
        model: pixels in [0, 1] -> logits, its mask already attached.
        splits: the data; the test part is not touched.
        settings: the recipe's ``train``.
        seed: of everything random in training.
        folder: gets ``train.jsonl``, ``state/`` and TensorBoard's ``tb/``; an interrupted run there is continued.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        title: shown beside the progress.

    Raises:
        FeatmaskError: the loss is not finite, the device is missing, or the state in ``folder`` is another model's.
    """
    accelerator = _accelerator(device, settings.amp)
    if settings.channels_last:
        model = model.to(memory_format=torch.channels_last)
    sampler = Shuffle(len(splits.train), seed)
    loader = DataLoader(
        splits.train,
        batch_size=settings.batch_size,
        sampler=sampler,
        drop_last=len(splits.train) > settings.batch_size,  # a last batch of one image breaks BatchNorm
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )
    model, optimizer, loader = accelerator.prepare(model, make_optimizer(model, settings), loader)
    bare: nn.Module = accelerator.unwrap_model(model)
    average = _average(bare, settings.ema) if settings.ema else None
    kept: nn.Module = bare if average is None else average.module
    state = TrainingState(folder / STATE, bare, optimizer, average)
    first = state.load()
    log = RunLog(folder, settings.tensorboard and accelerator.is_main_process)
    log.restore(state.lines)
    learner = _Learner(accelerator, model, optimizer, loader, settings, average)
    for epoch in range(first, settings.epochs):
        seed_everything(seed, epoch)
        sampler.epoch = epoch
        start = time.perf_counter()
        line = {"epoch": epoch + 1, **learner.epoch(epoch, f"{title}, epoch {epoch + 1}/{settings.epochs}")}
        line |= _validate(kept, splits.validation, settings, accelerator.device)
        line["seconds"] = time.perf_counter() - start
        if accelerator.is_main_process:
            state.save(epoch + 1, line, kept if settings.select == "best" else None)
            log.append(line)
        accelerator.wait_for_everyone()
    log.close()
    if state.best is not None:
        kept.load_state_dict(state.best)
    accelerator.free_memory()
    return kept


class _Learner:
    """One pass over the training data after another."""

    def __init__(
        self,
        accelerator: Any,
        model: nn.Module,
        optimizer: Any,
        loader: Any,
        settings: Train,
        average: AveragedModel | None,
    ) -> None:
        self.accelerator, self.model, self.optimizer, self.loader = accelerator, model, optimizer, loader
        self.settings, self.average = settings, average

    def epoch(self, epoch: int, title: str) -> dict[str, float]:
        """Train on every sample once; give the mean loss and the accuracy along the way."""
        self.model.train()
        steps = len(self.loader)
        loss_sum, right, seen = 0.0, 0, 0
        with progress(title, steps) as bar:
            for step, (pixels, labels, weights, _) in enumerate(self.loader):
                rate = rate_at(self.settings, epoch + step / steps, epoch * steps + step, steps)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                loss, correct = self._step(pixels, labels, weights)
                if not math.isfinite(loss):
                    where = f"epoch {epoch + 1}, step {step + 1}"
                    raise FeatmaskError(f"the loss is not finite in {where}; lower train.lr, or set train.clip_grad")
                loss_sum, right, seen = loss_sum + loss * len(labels), right + correct, seen + len(labels)
                bar.advance()
        return {"lr": rate, "train_loss": loss_sum / seen, "train_accuracy": right / seen}

    def _step(self, pixels: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> tuple[float, int]:
        settings = self.settings
        if settings.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        logits = self.model(pixels).float()
        losses = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=settings.label_smoothing)
        weighted = weights.to(losses)
        loss = (losses * weighted).sum() / weighted.sum().clamp_min(1e-12)
        self.accelerator.backward(loss)
        if settings.clip_grad is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), settings.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update_parameters(self.accelerator.unwrap_model(self.model))
        # one read-back a step, for both figures
        figures = torch.stack([loss.detach(), (logits.argmax(1) == labels).sum()]).tolist()
        return figures[0], int(figures[1])


def _average(model: nn.Module, decay: float) -> AveragedModel:
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]


def _validate(model: nn.Module, data: Images, settings: Train, device: torch.device) -> dict[str, float]:
    """Loss and accuracy on the validation part; every process computes all of it, so none waits for another."""
    loss, right = 0.0, 0
    with evaluating(model), torch.no_grad():
        for pixels, labels, _, _ in DataLoader(data, batch_size=max(64, settings.batch_size)):
            logits = model(pixels.to(device)).float()
            loss += float(functional.cross_entropy(logits, labels.to(device), reduction="sum"))
            right += int((logits.argmax(1).cpu() == labels).sum())
    return {"val_loss": loss / len(data), "val_accuracy": right / len(data)}


def _accelerator(device: str, amp: str) -> Any:
    accelerate = require("accelerate", "train")
    check_device(device)
    # accelerate keeps one state a process; a second run may ask for another precision or device
    require("accelerate.state", "train").AcceleratorState._reset_state(reset_partial_state=True)
    return accelerate.Accelerator(cpu=device == "cpu", mixed_precision=amp, step_scheduler_with_optimizer=False)
