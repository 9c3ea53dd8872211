"""Confidence against accuracy (Guo et al. 2017): bins, and the gap between both."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

#: Of equal width, over (0, 1].
BINS = 15


class Bin(NamedTuple):
    """Samples whose confidence lies in (low, high]: how many, their mean confidence, the share that is right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def confidence_bins(confidence: npt.ArrayLike, right: npt.ArrayLike, bins: int = BINS) -> list[Bin]:
    """Samples in bins of equal width, empty ones left out; the first one holds confidence 0 too.

    ``confidence`` is the largest probability of each sample, in [0, 1], ``right`` whether the prediction is right.
    """
    sure, hits = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    return [
        Bin(b / bins, (b + 1) / bins, int(own.sum()), float(sure[own].mean()), float(hits[own].mean()))
        for b in range(bins)
        if (own := place == b).any()
    ]


def calibration_error(confidence: npt.NDArray[Any], right: npt.ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error, equation 3: mean gap between confidence and accuracy; arguments as above."""
    found = confidence_bins(confidence, right, bins)
    return float(np.sum([abs(one.accuracy - one.confidence) * (one.n / len(confidence)) for one in found]))
