"""Classifiers: from a model and data to one record a suite, with an outcome for every sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from ..attacks import Attack, check_budget, run
from ..errors import FeatmaskError
from ..metrics import balanced_accuracy, calibration_error
from ..progress import progress
from ..results import DESCRIPTIVE, Suite
from .setup import Evaluation, check_range, device_of, frozen, refuse_random

SUITES = ("clean", "linf")
UPPER_BOUND = "FGSM and PGD alone: an upper bound on robust accuracy, not to be set beside AutoAttack figures"


def linf_attacks(eps: Sequence[str | Fraction] = ("1/255", "2/255", "4/255"), steps: int = 10) -> list[Attack]:
    """FGSM and PGD at each eps."""
    budgets = [Fraction(value) for value in eps]
    return [Attack("fgsm", value) for value in budgets] + [Attack("pgd", value, steps=steps) for value in budgets]


def evaluate(
    model: nn.Module,
    data: Dataset[Any] | Iterable[Any],
    suite: str = "clean",
    *,
    attacks: Sequence[Attack] | None = None,
    split: str = "test",
    batch_size: int = 64,
    device: torch.device | str | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Evaluation:
    """Measure a classifier that takes pixels in [0, 1].

    Args:
        model: pixels (N, C, H, W) in [0, 1] -> logits (N, classes); normalisation inside (see ``Normalized``). It is
            switched to eval mode, every submodule, and put back afterwards.
        data: a dataset or a loader of (image, label, ...); a fourth entry is taken as the sample's index.
        suite: ``clean`` (accuracy, balanced accuracy, calibration error, negative log-likelihood) or ``linf``.
        attacks: of the ``linf`` suite; default FGSM and PGD-10 at 1, 2 and 4/255.
        split: what the data are, for the record.
        batch_size: if ``data`` is a dataset.
        device: where to compute; default: where the model is.
        seed: of the attacks' random starts.
        limit: use only so many leading samples; they are stated in the record.

    Raises:
        FeatmaskError: an unknown suite, no data, pixels outside [0, 1], labels out of range, logits that are not
            finite, or a model whose two passes over the same images differ.
    """
    if suite not in SUITES:
        raise FeatmaskError(f"unknown suite {suite!r}; expected one of: {', '.join(SUITES)}")
    chosen = (list(attacks) if attacks is not None else linf_attacks()) if suite == "linf" else []
    where = torch.device(device) if device is not None else device_of(model)
    columns: dict[str, list[npt.NDArray[Any]]] = {}
    generator = torch.Generator().manual_seed(seed)
    batches = _batches(data, batch_size, limit)
    with frozen(model, where), progress(f"evaluating {suite}", limit or _length(data)) as bar:
        for number, (pixels, labels, index) in enumerate(batches):
            x, y = pixels.to(where), labels.to(where)
            logits = _checked_logits(model, x, y, twice=number == 0)
            batch = {"index": index, "label": labels.numpy()}
            batch |= _clean(logits, y) if suite == "clean" else _attacked(model, x, y, logits, chosen, generator)
            for name, values in batch.items():
                columns.setdefault(name, []).append(values)
            bar.advance(len(y))
    if not columns:
        raise FeatmaskError("there is nothing to evaluate: the data are empty")
    samples = {name: np.concatenate(values) for name, values in columns.items()}
    metrics = _clean_metrics(samples) if suite == "clean" else _attack_metrics(samples)
    samples.pop("nll", None)  # a mean is reported; a loss a sample is no outcome
    settings: dict[str, Any] = {"seed": seed, "limit": limit, "classes": int(logits.shape[1])}
    if suite == "linf":
        settings["norm"] = "linf"
        settings["attacks"] = [
            {"name": a.name, "kind": a.kind, "eps": str(a.eps), "steps": a.steps, "restarts": a.restarts}
            for a in chosen
        ]
    return Evaluation(
        Suite(suite, split, len(samples["index"]), metrics, settings, (UPPER_BOUND,) if suite == "linf" else ()),
        samples,
    )


def _clean(logits: torch.Tensor, y: torch.Tensor) -> dict[str, npt.NDArray[Any]]:
    confidence, predicted = logits.softmax(1).max(1)
    return {
        "predicted": predicted.cpu().numpy(),
        "confidence": confidence.double().cpu().numpy(),
        "nll": functional.cross_entropy(logits, y, reduction="none").double().cpu().numpy(),
        "correct": (predicted == y).long().cpu().numpy(),
    }


def _clean_metrics(samples: dict[str, npt.NDArray[Any]]) -> dict[str, float]:
    right = samples["correct"] == 1
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": balanced_accuracy(samples["predicted"], samples["label"]),
        "ece": calibration_error(samples["confidence"], right),
        "nll": float(samples["nll"].mean()),
    }


def _attacked(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    logits: torch.Tensor,
    attacks: Sequence[Attack],
    generator: torch.Generator,
) -> dict[str, npt.NDArray[Any]]:
    """Outcomes: right before and after. A sample that is wrong already stays wrong, and is not attacked."""
    right = logits.argmax(1) == y
    outcomes = {"clean": right.long().cpu().numpy()}
    standing = right.nonzero().flatten()
    worst: dict[Fraction, npt.NDArray[np.int64]] = {}
    for attack in attacks:
        survived = np.zeros(len(y), np.int64)
        if len(standing):
            adversarial = run(attack, model, x[standing], y[standing], generator)
            check_budget(adversarial, x[standing], attack)
            with torch.no_grad():
                still = model(adversarial).argmax(1) == y[standing]
            survived[standing.cpu().numpy()] = still.cpu().numpy()
        outcomes[attack.name] = survived
        worst[attack.eps] = worst.get(attack.eps, outcomes["clean"]) & survived
    for eps, values in worst.items():
        outcomes[Attack("pgd", eps).name.replace("pgd", "worst")] = values
    return outcomes


def _attack_metrics(samples: dict[str, npt.NDArray[Any]]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in samples.items() if name not in DESCRIPTIVE}


def _checked_logits(model: nn.Module, x: torch.Tensor, y: torch.Tensor, twice: bool) -> torch.Tensor:
    check_range(x)
    with torch.no_grad():
        logits: torch.Tensor = model(x)
    if logits.dim() != 2 or len(logits) != len(x):
        raise FeatmaskError(f"expected logits of shape (N, classes) with N = {len(x)}, got {tuple(logits.shape)}")
    if not bool(logits.isfinite().all()):
        raise FeatmaskError("the model's logits are not finite (NaN or infinity)")
    if twice:  # after the check above: NaN differs from itself
        refuse_random(model, x, logits)
    if int(y.min()) < 0 or int(y.max()) >= logits.shape[1]:
        raise FeatmaskError(f"labels {int(y.min())} to {int(y.max())}, but the model has {logits.shape[1]} classes")
    return logits.float()


def _length(data: Any) -> int:
    try:
        sized: Any = data.dataset if isinstance(data, DataLoader) else data
        return len(sized)
    except TypeError:
        return 0


Batch = tuple[torch.Tensor, torch.Tensor, npt.NDArray[np.int64]]


def _batches(data: Dataset[Any] | Iterable[Any], batch_size: int, limit: int | None) -> Iterator[Batch]:
    loader = DataLoader(data, batch_size=batch_size) if isinstance(data, Dataset) else data
    seen = 0
    for batch in loader:
        pixels, labels = batch[0], batch[1]
        take = len(labels) if limit is None else min(len(labels), limit - seen)
        if take <= 0:
            return
        index = np.asarray(batch[3]) if len(batch) > 3 else np.arange(seen, seen + len(labels))
        yield pixels[:take], labels[:take], index[:take]
        seen += take
