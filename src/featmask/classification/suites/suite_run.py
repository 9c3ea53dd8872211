"""One suite on one model: batch after batch, each on the disk before the next, then the record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import Dataset, Subset

from ... import __version__
from ...evaluation import Evaluation
from ...evaluation.journal import Journal
from ...records.suite import Suite, is_written, read_suite, suite_path
from ...utils.progress import progress
from .batches import Batch, Data, batches, checked_logits, count
from .figures import clean_figures, kept, rounded_figures, running_worst, suite_figures
from .outcomes import Columns, Setting, attacked_columns, clean_columns, corrupted_columns, worst_columns
from .plans import Plan
from .smallest import flip_column


@dataclass
class SuiteRun:
    """One suite on one model; arguments are those of ``evaluate``."""

    plan: Plan
    setting: Setting
    data: Data
    batch_size: int
    limit: int | None
    folder: str | Path | None
    selection: str = ""

    def record(
        self, split: str, classes: int, eot: int, ood: npt.NDArray[np.float64] | None, ood_name: str
    ) -> Evaluation:
        """Measure what is not measured yet, and close."""
        key, partly = "", None
        if self.folder is not None:
            path = suite_path(self.folder, self.plan.name)
            facts = [self.plan.name, self.plan.plain(), self.setting.seed, self.setting.passes, self.limit]
            facts += [count(self.data, self.limit), ood_name if ood is not None else ""]
            key, partly = key_of(facts, self.setting.model), path.with_suffix(".partial.jsonl")
            if is_written(path):
                suite, samples = read_suite(path)
                if suite.settings.get("key") == key:
                    return Evaluation(suite, samples)
        self.journal = Journal(partly, key)
        with progress(f"evaluating {self.plan.name}", count(self.data, self.limit)) as bar:
            bar.advance(self.journal.count, running_worst(self.journal.done, self.plan))
            # a batch takes minutes where attacks are many
            self.setting = replace(self.setting, tell=lambda doing: bar.advance(0, doing))
            for batch in self._rest():
                self.journal.add(self.outcomes(batch))
                bar.advance(len(batch.labels), running_worst(self.journal.done, self.plan))
        columns = self.journal.columns()
        clean = self.plan.name == "clean"
        metrics = clean_figures(columns, ood) if clean else suite_figures(columns, self.plan)
        rounded = rounded_figures(columns)
        settings: dict[str, Any] = {"seed": self.setting.seed, "limit": self.limit, "classes": classes}
        if self.selection:
            settings["selection"] = self.selection
        settings |= self.plan.plain() | ({"quantised": rounded} if rounded else {})
        warnings, passes = self.plan.warnings, self.setting.passes
        if passes > 1:
            settings |= {"eot": eot, "passes": passes}
            warnings += (f"the model is random: gradients are means over several passes, outcomes shares of {passes}",)
        if self.plan.corruptions:
            from ...data.corruptions import FROST, severity_table

            height, width = next(batches(self.data, 1, 1)).pixels.shape[2:]
            settings |= {"table": severity_table(height, width), "frost": FROST}
        if clean and ood is not None:
            settings |= {"ood": ood_name, "ood_n": len(ood)}
        if key:
            settings["key"] = key
        suite = Suite(self.plan.name, split, len(columns["index"]), metrics, settings, warnings)
        evaluation = Evaluation(suite, kept(columns))
        if self.folder is not None:
            evaluation.save(self.folder)
        self.journal.close()
        return evaluation

    def _rest(self) -> Iterator[Batch]:
        """Batches that are not measured; those that are are compared with what is known of them."""
        done = self.journal.count
        if done and isinstance(self.data, Dataset):
            first = next(batches(Subset(self.data, [0]), 1, 1))
            self.journal.check(first.rows, first.labels.numpy(), 0)
            left = None if self.limit is None else self.limit - done
            for batch in batches(Subset(self.data, range(done, count(self.data, None))), self.batch_size, left):
                yield batch if len(self.data[0]) > 3 else batch._replace(rows=batch.rows + done)
            return
        seen = 0
        for batch in batches(self.data, self.batch_size, self.limit):
            start, seen = seen, seen + len(batch.labels)
            if start < done:
                self.journal.check(batch.rows, batch.labels.numpy(), start)
            if seen > done:
                yield batch.part(slice(max(0, done - start), None))

    def outcomes(self, batch: Batch) -> Columns:
        """Every column of one batch."""
        setting, plan = self.setting, self.plan
        logits = torch.cat(
            setting.portions.each(
                lambda part: checked_logits(setting.model, batch.part(part), setting.device), len(batch.labels)
            )
        )
        if plan.name == "clean":
            return batch.columns | clean_columns(logits, batch)
        y = batch.labels.to(setting.device)
        right = (logits.argmax(1) == y).long()
        if setting.passes > 1:
            right = setting.right(batch.pixels.to(setting.device), y)
        columns = attacked_columns(setting, batch, right, plan.attacks)
        columns |= worst_columns(columns, plan.attacks)
        if plan.smallest is not None and plan.rounds:
            columns |= flip_column(setting, batch, columns, plan)
        return batch.columns | columns | corrupted_columns(setting, batch, plan)


def key_of(facts: Sequence[Any], model: nn.Module) -> str:
    """What outcomes depend on, in short: JSON values, the model's class and everything in its state.

    What was measured under another key is not taken.
    """
    digest = hashlib.sha256(json.dumps([__version__, *facts], sort_keys=True).encode())
    digest.update(type(model).__qualname__.encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        if torch.is_tensor(tensor):
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
