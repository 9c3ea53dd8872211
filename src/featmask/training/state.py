"""What is needed to go on after a kill: read as tensors and numbers only, never as code."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ..errors import FeatmaskError
from ..utils.files import replacing
from .processes import from_main, is_main


class TrainingState:
    """Model, optimiser, averages, log lines and the best epoch so far, in one file."""

    def __init__(
        self, path: Path, model: nn.Module, optimizer: Any, average: AveragedModel | None, best_by: str
    ) -> None:
        self.path, self.model, self.optimizer, self.average = path, model, optimizer, average
        self.best_by = best_by
        self.lines: list[dict[str, float]] = []
        self.best: dict[str, torch.Tensor] | None = None
        self.best_score = -1.0

    def save(self, epoch: int, line: dict[str, float], candidate: nn.Module | None) -> None:
        """Write everything after ``epoch`` epochs; ``candidate`` is kept if it is the best on validation data."""
        self.lines.append(line)
        if candidate is not None and line[self.best_by] > self.best_score:
            self.best_score = line[self.best_by]
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in candidate.state_dict().items()}
        state = {
            "epoch": epoch,
            "lines": self.lines,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "best": self.best,
            "best_score": self.best_score,
        }
        try:
            with replacing(self.path) as beside:
                torch.save(state, beside)
        except RuntimeError as error:  # torch's own writer says this, and no more, of a full disk
            raise OSError(errno.EIO, "cannot write (is the disk full?)", str(self.path)) from error

    def load(self) -> int:
        """Number of finished epochs; 0 where there is no state. Every process takes what the main one has written."""
        written = None
        with self._named():
            if is_main() and self.path.is_file():
                written = torch.load(self.path, map_location="cpu", weights_only=True)
        state = from_main(written)
        if state is None:
            return 0
        with self._named():
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self.lines, self.best, self.best_score = state["lines"], state["best"], state["best_score"]
            return int(state["epoch"])

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors that name the file, and say what to do."""
        try:
            yield
        except (RuntimeError, LookupError, TypeError, AttributeError, ValueError, EOFError, OSError,
                pickle.UnpicklingError) as error:  # fmt: skip
            why = str(error).partition("\n")[0] or type(error).__name__
            raise FeatmaskError(
                f"cannot continue from {self.path}: {why}; delete its folder to start this run anew"
            ) from error
