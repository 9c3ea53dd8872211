"""Figures of a classifier from its probabilities; no torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def balanced_accuracy(predicted: Ints, labels: Ints) -> float:
    """Mean over the classes that occur of the share of their samples that is right."""
    right = predicted == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def calibration_error(confidence: Floats, right: npt.NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over equal-width bins.

    Args:
        confidence: the largest probability of each sample, in [0, 1].
        right: whether the prediction is right.
        bins: number of bins, upper edges inclusive.

    Source: Guo et al. 2017, equation 3.
    """
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = [
        abs(right[index == b].mean() - confidence[index == b].mean()) * (index == b).mean() for b in np.unique(index)
    ]
    return float(np.sum(gaps))


def area_under_roc(inside: Floats, outside: Floats) -> float:
    """Chance that a sample of the data has a higher score than one of other data; ties count half.

    Args:
        inside: scores of the data (their confidence, for example), one or more.
        outside: scores of other data, one or more.

    Source: Hendrycks and Gimpel 2017, with max-softmax as the score; the Mann-Whitney statistic.
    """
    ordered = np.sort(outside)
    below, upto = np.searchsorted(ordered, inside, "left"), np.searchsorted(ordered, inside, "right")
    return float((below + upto).sum(dtype=np.float64) / (2 * len(inside) * len(outside)))
