"""From outcomes per sample to a suite's figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import require
from ...records.names import corruption_name, rounded_attack
from .outcomes import Columns
from .plans import Plan

#: Terms of means that a record does not keep per sample.
_TERMS = ("nll", "brier")


def clean_figures(columns: Columns, ood: npt.NDArray[np.float64] | None) -> dict[str, float]:
    """Accuracy and calibration; how well confidence tells the data from others, if others were given.

    ``balanced_accuracy`` is the mean over the classes that occur; ``ood_auroc`` is Hendrycks and Gimpel's (2017), with
    the largest probability as the score.
    """
    from ...stats.calibration import calibration_error  # here, since SciPy takes a second to load

    scores, right = require("sklearn.metrics", "train"), columns["correct"] == 1
    predicted, labels, confidence = columns["predicted"], columns["label"], columns["confidence"]
    # balanced_accuracy_score is the same, and warns of classes that are predicted and do not occur
    balanced = scores.recall_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)
    found = {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(balanced),
        "ece": calibration_error(confidence, right),
        "brier": float(columns["brier"].mean()),
        "nll": float(columns["nll"].mean()),
    }
    if ood is not None:
        inside = np.repeat([1, 0], [len(confidence), len(ood)])
        found["ood_auroc"] = float(scores.roc_auc_score(inside, np.concatenate([confidence, ood])))
    return found


def suite_figures(columns: Columns, plan: Plan) -> dict[str, float]:
    """Shares of samples that are right; means over severities and over all corruptions; the median smallest radius."""
    names = [name for name in columns if name not in ("index", "label", "flip_eps") and not rounded_attack(name)]
    found = {name: float(columns[name].mean()) for name in names}
    if plan.corruptions:
        kinds = {
            kind: _mean([found[corruption_name(kind, severity)] for severity in plan.severities])
            for kind in plan.corruptions
        }
        found |= kinds | {"corrupted": _mean(list(kinds.values()))}
    if "flip_eps" in columns:
        flips = columns["flip_eps"][columns["clean"] > 0]
        median = float(np.median(flips)) if len(flips) else float("nan")
        if np.isfinite(median):
            found["median_eps"] = median
        found["unflipped"] = float(np.isinf(flips).mean()) if len(flips) else 0.0
    return found


def rounded_figures(columns: Columns) -> dict[str, float]:
    """Accuracy under each attack if its images are stored with 8 bits."""
    return {attack: float(values.mean()) for name, values in columns.items() if (attack := rounded_attack(name))}


def kept(columns: Columns) -> Columns:
    """What a record keeps of every sample."""
    return {name: values for name, values in columns.items() if name not in _TERMS and not rounded_attack(name)}


def running_worst(done: Sequence[Columns], plan: Plan) -> str:
    """The lowest figure so far, for a progress bar."""
    skip = ("index", "label", "flip_eps", "predicted", "confidence", *_TERMS)
    names = [name for name in (done[0] if done else {}) if name not in skip and not rounded_attack(name)]
    means: dict[str, Any] = {name: np.concatenate([batch[name] for batch in done]).mean() for name in names}
    if not means:
        return ""
    name = min(means, key=lambda key: means[key])
    return f"worst so far {100 * means[name]:.1f} % ({name})"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
