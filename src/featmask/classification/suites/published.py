"""Published sets of corrupted images, CIFAR-10-C and ImageNet-C: an outcome for every image of every corruption."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from ...errors import FeatmaskError
from ...evaluation import Evaluation, frozen
from ...evaluation.frozen import is_random
from ...evaluation.journal import Journal
from ...records.names import corruption_name
from ...records.suite import Suite, suite_path
from ...utils.progress import progress
from .batches import batches, check_model, checked_logits, count
from .figures import suite_figures
from .plans import Plan
from .suite_run import key_of

if TYPE_CHECKING:
    from ...data import CorruptedSet


def evaluate_published(
    model: nn.Module,
    corrupted: CorruptedSet,
    *,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    limit: int | None = None,
    folder: str | Path | None = None,
) -> Evaluation:
    """Measure a classifier on images that others corrupted; the suite has the set's name (``cifar10-c``).

    Args:
        model: as for ``evaluate``, like ``batch_size`` and ``device``.
        corrupted: from ``featmask.data.open_corrupted``.
        limit: only so many leading images of each corruption at each severity.
        folder: as for ``evaluate``; what is kept on the way is each corruption at each severity.

    Raises:
        FeatmaskError: as ``evaluate``; or corruptions of unequal numbers of images.
    """
    where = torch.device(device) if device is not None else check_model(model)
    plan = Plan(corrupted.name, corruptions=corrupted.kinds, severities=corrupted.severities)
    cells = [(kind, severity) for kind in corrupted.kinds for severity in corrupted.severities]
    path = None if folder is None else suite_path(folder, corrupted.name).with_suffix(".partial.jsonl")
    key = "" if path is None else key_of([plan.name, plan.plain(), limit], model)
    journal = Journal(path, key, alike=False)
    with frozen(model, where), progress(f"evaluating {corrupted.name}", len(cells)) as bar:
        first = next(batches(corrupted.images(*cells[0]), batch_size, 2))
        is_random(model, first.pixels.to(where), checked_logits(model, first, where))
        for number, (kind, severity) in enumerate(cells):
            if number >= len(journal.done):
                images, found = corrupted.images(kind, severity), Journal(None, "")
                for batch in batches(images, batch_size, limit):
                    right = checked_logits(model, batch, where).argmax(1).cpu() == batch.labels
                    found.add(batch.columns | {corruption_name(kind, severity): right.long().numpy()})
                if not found.done:
                    holds = f"{kind} at severity {severity} holds no images ({count(images, limit)})"
                    raise FeatmaskError(f"{corrupted.name}: {holds}")
                journal.add(found.columns())
            outcome = journal.done[number][corruption_name(kind, severity)]
            bar.advance(1, f"{kind} {severity}: {100 * outcome.mean():.1f} %")
    columns = journal.done[0].copy()
    for cell in journal.done[1:]:
        if not np.array_equal(cell["label"], columns["label"]):
            raise FeatmaskError(f"{corrupted.name}: expected the same images under every corruption; labels differ")
        columns |= cell
    settings = {"limit": limit, **plan.plain(), "table": corrupted.table, "published": True}
    suite = Suite(corrupted.name, "published", len(columns["index"]), suite_figures(columns, plan), settings)
    evaluation = Evaluation(suite, columns)
    if folder is not None:
        evaluation.save(folder)
    journal.close()
    return evaluation
