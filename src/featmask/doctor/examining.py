"""``examine``: options and data are checked first, then the model is asked one question after the other."""

from __future__ import annotations

from contextlib import nullcontext
from typing import get_args

import torch
from torch import nn

from ..attacks import Norm
from ..classification.suites.batches import Data, batches, check_model
from ..errors import FeatmaskError
from ..evaluation import frozen
from ..evaluation.portions import Portions
from ..utils.progress import progress
from ..utils.radii import radius
from .as_received import as_received
from .chance import ALPHA
from .diagnosis import Diagnosis
from .examination import SOME, TOTAL, Examination
from .subject import EOT, Subject, logits_in_portions


def examine(
    model: nn.Module,
    data: Data,
    *,
    eps: str = "8/255",
    norm: Norm = "linf",
    samples: int = 128,
    batch_size: int = 64,
    steps: int = 20,
    queries: int = 500,
    surrogate: nn.Module | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
    adversarially_trained: bool | None = None,
) -> Diagnosis:
    """Ask whether a figure of this model's robustness deserves trust: set-up, gradients, attacks.

    Thresholds and the rate of false alarms are in ``chance``. A model that is random in eval mode fails; PGD is
    then followed over radii on fewer samples, averaged over passes, and attacks are not compared with each other.

    Args:
        model: pixels (N, C, H, W) in [0, 1] -> logits (N, classes), as you hand it to an evaluation: in its modes,
            with its normalisation. Modes, batch statistics and the random state come back as they were.
        data: a dataset or a loader of (image, label, ...), as in ``evaluate``.
        eps: radius of the figure that is to be trusted.
        norm: of its ball.
        samples: how many leading samples are examined; more find smaller faults.
        batch_size: how many are computed at once.
        steps: of PGD; the curve goes up to 2.5 times as many.
        queries: of Square, per sample.
        surrogate: another model of the same task, best an undefended twin: do its attacks transfer?
        device: where to compute; default: where the model is.
        seed: of everything that is drawn.
        adversarially_trained: False: robustness far above 0 at 8/255 is suspicious. None: not known, not asked.

    Raises:
        FeatmaskError: no data, options of a wrong kind, items that are no images with labels, a model in half precision
            or on several devices, or outputs that are no (N, classes).
    """
    if norm not in get_args(Norm):
        raise FeatmaskError(f"norm: expected one of {', '.join(get_args(Norm))}; got {norm!r}")
    for key, value in (("samples", samples), ("batch_size", batch_size), ("steps", steps), ("queries", queries)):
        if value < 1:
            raise FeatmaskError(f"{key}: expected 1 or more, got {value}")
    size = radius(eps)
    if size <= 0 or (norm == "linf" and size > 1):
        raise FeatmaskError(f"eps: expected a radius above 0 such as 8/255, in linf up to 1; got {eps!r}")
    where = check_model(model) if device is None else torch.device(device)
    twin = nullcontext() if surrogate is None else frozen(surrogate, where)
    # from here on, since a loader draws a seed when it starts
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        torch.manual_seed(seed)
        found = list(batches(data, batch_size, samples))
        if not found:
            raise FeatmaskError("there is nothing to examine: the data are empty")
        x = torch.cat([batch.pixels for batch in found]).to(where)
        y = torch.cat([batch.labels for batch in found]).to(where)
        rows = [int(row) for batch in found for row in batch.columns["index"]]
        some, portions = x[: min(SOME, batch_size)], Portions(batch_size)
        came = as_received(model.to(where), some)
        with frozen(model, where), twin, progress("examining", TOTAL) as bar:
            pair = [logits_in_portions(model, some, portions) for _ in range(2)]
            random = not torch.equal(*pair)
            logits = logits_in_portions(model, x, portions)
            subject = Subject(model, x, y, rows, logits, size, norm, seed, EOT if random else 1, portions)
            examination = Examination(subject, bar)
            examination.set_up(came, pair[0], pair[1])
            examination.gradients()
            examination.attacks(steps, queries, surrogate, adversarially_trained)
    settings = {
        "eps": str(eps), "norm": norm, "samples": len(y), "batch_size": batch_size, "steps": steps, "queries": queries,
        "seed": seed, "surrogate": surrogate is not None, "adversarially_trained": adversarially_trained,
        "passes": subject.passes, "classes": int(logits.shape[1]), "false_alarm": ALPHA,
    }  # fmt: skip
    return Diagnosis(tuple(examination.checks), settings)
