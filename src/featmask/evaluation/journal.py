"""What a suite has measured so far, batch by batch, so that a run that was killed goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FeatmaskError
from ..records.file import Number, lines_of, read_lines
from ..records.suite import Columns
from ..utils.files import write_text

#: A key, or a column of a batch.
_Line = dict[str, str | list[Number | str]]


class Journal:
    """Lines of JSON beside the record that they become: a key, then one line per batch.

    A line that a kill cut short is not counted. Lines under another key (another model, other settings) are thrown
    away.

    Args:
        path: None: nothing is kept.
        key: of the model and the settings.
        alike: whether all batches have the same columns.

    Raises:
        FeatmaskError: lines that no kill explains.
    """

    def __init__(self, path: Path | None, key: str, *, alike: bool = True) -> None:
        self.path, self.key = path, key
        remedy = f"delete {path} to have this suite measured anew"
        lines = [] if path is None else read_lines(path, _Line, remedy)
        same = bool(lines) and lines[0].get("key") == key
        kept = lines[1:] if same else []
        self.done: list[Columns] = [{name: np.asarray(values) for name, values in line.items()} for line in kept]
        for number, batch in enumerate(self.done, 2):
            lengths = {column.size for column in batch.values()}
            same_columns = not alike or batch.keys() == self.done[0].keys()
            if not same_columns or not {"index", "label"} <= batch.keys() or len(lengths) != 1:
                raise FeatmaskError(f"{path}, line {number}: expected the same columns, of equal length; {remedy}")
        if path is not None:
            # whole lines alone: what follows must not be glued to half a line
            write_text(path, lines_of([{"key": key}, *kept]))

    @property
    def count(self) -> int:
        """Samples that are done."""
        return sum(len(batch["index"]) for batch in self.done)

    def add(self, batch: Columns) -> None:
        """Keep a batch; it is on the disk when this returns."""
        self.done.append(batch)
        if self.path is not None:
            with open(self.path, "a", encoding="utf-8") as handle:
                handle.write(lines_of([{name: values.tolist() for name, values in batch.items()}]))
                handle.flush()
                os.fsync(handle.fileno())

    def columns(self) -> Columns:
        """All batches, one after the other."""
        return {name: np.concatenate([batch[name] for batch in self.done]) for name in self.done[0]}

    def check(self, index: npt.NDArray[Any], labels: npt.NDArray[Any], start: int) -> None:
        """Refuse data that are not those of the lines before.

        Raises:
            FeatmaskError: other samples or labels from ``start`` on.
        """
        kept = self.columns()
        for name, values in (("index", index), ("label", labels)):
            part = kept[name][start : start + len(values)]
            if not np.array_equal(part, values[: len(part)]):
                raise FeatmaskError(
                    f"the data give other samples than before the interruption (their {name} differs): pass a dataset, "
                    f"or a loader that does not shuffle; to begin anew, delete {self.path}"
                )

    def close(self) -> None:
        """The record is written: nothing is left to go on with."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
