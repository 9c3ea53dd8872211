"""A run's log: JSON lines are the truth, TensorBoard mirrors them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..records.file import lines_of
from ..records.run import LOG
from ..utils.files import write_text


class RunLog:
    """One line per epoch in ``train.jsonl``, and the same figures as TensorBoard scalars in ``tb/``."""

    def __init__(self, folder: Path, tensorboard: bool) -> None:
        self.path = folder / LOG
        self.lines: list[dict[str, float]] = []
        self.writer: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return
            self.writer = SummaryWriter(str(folder / "tb"))

    def restore(self, lines: list[dict[str, float]]) -> None:
        """Take over the lines of the epochs that are finished; a kill may have left the file one behind."""
        self.lines = list(lines)
        if lines:
            self._write()

    def append(self, line: dict[str, float]) -> None:
        """Add an epoch."""
        self.lines.append(line)
        self._write()
        if self.writer is not None:
            for name, value in line.items():
                if name != "epoch":
                    self.writer.add_scalar(name, value, int(line["epoch"]))
            self.writer.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self.writer is not None:
            self.writer.close()

    def _write(self) -> None:
        write_text(self.path, lines_of(self.lines))
