"""Embeddings: features of both sides of a search, and the scores of their ranking, one outcome per query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader

from ...attacks.ball import check_pixels
from ...errors import FeatmaskError
from ...evaluation import Evaluation, frozen
from ...evaluation.frozen import device_of, is_random
from ...records.suite import Suite
from ...retrieval import RetrievalScores, rerank
from ...retrieval import evaluate as score
from ...utils.progress import progress
from ..attacks.embedding import check_features
from ..data.sets import JUNK
from ..people import Side

RANKS = (1, 5, 10, 20)
#: Of ``RetrievalScores.rules``: how often a rule was met is no rule.
_COUNTS = ("queries", "queries_without_match", "gallery", "junk_removed")


@dataclass(frozen=True)
class Described:
    """One side of a search with its features.

    Attributes:
        features: (N, D) as retrieval compares them, on the CPU.
        pids: (N,) persons; -1 is junk.
        cams: (N,) cameras, or None where the data have none.
        side: where the images are.
        rows: (N,) which of its images these are.
    """

    features: torch.Tensor
    pids: npt.NDArray[np.int64]
    cams: npt.NDArray[np.int64] | None
    side: Side
    rows: npt.NDArray[np.int64]

    @property
    def paths(self) -> list[Path]:
        """The N files."""
        return [self.side.paths[row] for row in self.rows]

    def pixels(self, rows: Sequence[int]) -> torch.Tensor:
        """Some of the images, (len(rows), C, H, W) in [0, 1]."""
        return torch.stack([self.side.photos[int(self.rows[row])].image for row in rows])

    def take(self, rows: npt.NDArray[np.int64]) -> Described:
        """Some of the images."""
        cams = None if self.cams is None else self.cams[rows]
        return Described(self.features[torch.from_numpy(rows)], self.pids[rows], cams, self.side, self.rows[rows])

    def moved(self, rows: npt.NDArray[np.int64], features: torch.Tensor) -> Described:
        """The same images with other features in some rows."""
        changed = self.features.clone()
        changed[torch.from_numpy(rows)] = features
        return replace(self, features=changed)


def describe(
    model: nn.Module,
    side: Side,
    *,
    cameras: bool = True,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    title: str = "describing",
) -> Described:
    """Compute the features of every image of a side.

    Args:
        model: pixels (N, C, H, W) in [0, 1] -> features (N, D), exactly what retrieval compares (see ``Descriptor``).
            It is switched to eval mode, every submodule, and put back afterwards.
        side: query or gallery.
        cameras: False where the data have none.
        batch_size: images per pass.
        device: where to compute; default: where the model is.
        title: shown beside the progress.

    Raises:
        FeatmaskError: no images, pixels outside [0, 1], features that are no finite (N, D), or a model whose two passes
            over the same images differ.
    """
    where = torch.device(device) if device is not None else device_of(model)
    batches: list[torch.Tensor] = []
    with frozen(model, where), progress(title, len(side)) as bar:
        for batch in DataLoader(side.photos, batch_size=batch_size):
            pixels = batch[0].to(where)
            features = features_of(model, pixels)
            if not batches:
                is_random(model, pixels, features)
            batches.append(features.float().cpu())
            bar.advance(len(pixels))
    if not batches:
        raise FeatmaskError("there is nothing to evaluate: a side of the search has no images")
    return Described(torch.cat(batches), side.pids, side.cams if cameras else None, side, np.arange(len(side)))


def features_of(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Checked features of one batch, without gradients; the caller has the model in eval mode."""
    check_pixels(pixels)
    with torch.no_grad():
        features: torch.Tensor = model(pixels)
    check_features(features, pixels)
    if not bool(features.isfinite().all()):
        raise FeatmaskError("the model's features are not finite (NaN or infinity)")
    return features


def evaluate_retrieval(
    query: Described,
    gallery: Described,
    suite: str = "clean",
    *,
    average_precision: str = "standard",
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.3,
    split: str = "test",
    notes: Sequence[str] = (),
    settings: dict[str, Any] | None = None,
) -> Evaluation:
    """Score a search by Market-1501's rules (see :func:`featmask.retrieval.evaluate`).

    Args:
        query: the images that are searched for.
        gallery: the images that are searched, junk among them.
        suite: the record's name; ``reranked`` orders the gallery anew by k-reciprocal neighbours, every other name by
            Euclidean distance.
        average_precision: ``standard`` or ``trapezoid``.
        k1, k2, lambda_: of re-ranking, see :func:`featmask.retrieval.rerank`.
        split: what the data are, for the record.
        notes: what must be said wherever the figures are shown.
        settings: more of what is needed to repeat it, for the record.

    Raises:
        FeatmaskError: see :func:`featmask.retrieval.evaluate`.
    """
    extra = dict(settings or {})
    searched, distances = gallery, None
    if suite == "reranked":
        extra |= {"k1": k1, "k2": k2, "lambda": lambda_}
        searched = gallery.take(np.flatnonzero(gallery.pids != JUNK))  # junk takes part in no neighbourhood
        distances = rerank(query.features, searched.features, k1=k1, k2=k2, lambda_=lambda_)
    scores = rank_scores(query, searched, average_precision, distances)
    valid = np.flatnonzero(scores.first_hit >= 0)
    metrics = {f"rank{k}": float(scores.cmc[min(k, len(scores.cmc)) - 1]) for k in RANKS}
    metrics |= {"mAP": scores.mean_ap, "mINP": scores.mean_inp}
    columns = {**who(query, valid), **outcomes(scores, valid)}
    record = {**recorded(scores, "re-ranked" if suite == "reranked" else ""), **extra, "notes": list(notes)}
    record["junk_removed"] += len(gallery.pids) - len(searched.pids)
    return Evaluation(Suite(suite, split, len(valid), metrics, record), columns)


def rank_scores(
    query: Described, gallery: Described, average_precision: str, distances: Any | None = None
) -> RetrievalScores:
    """Scores of one search by its features, or by distances that replace theirs."""
    return score(
        query.features,
        query.pids,
        query.cams,
        gallery.features,
        gallery.pids,
        gallery.cams,
        average_precision=average_precision,
        junk_id=JUNK,
        distances=distances,
        max_rank=max(RANKS),
    )


def who(query: Described, rows: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """Columns that say which query an outcome is of."""
    columns: dict[str, npt.NDArray[Any]] = {"index": rows, "pid": query.pids[rows]}
    return columns if query.cams is None else {**columns, "cam": query.cams[rows]}


def outcomes(scores: RetrievalScores, rows: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """Columns of outcomes: whether the first answer is right, average precision, inverse negative penalty."""
    return {
        "rank1": (scores.first_hit[rows] == 0).astype(np.int64),
        "ap": scores.average_precision[rows],
        "inp": scores.inp[rows],
    }


def recorded(scores: RetrievalScores, order: str = "") -> dict[str, Any]:
    """A score's rules and sizes, as a record holds them."""
    rules = dict(scores.rules)
    queries, no_match, gallery, junk = (rules.pop(name) for name in _COUNTS)
    if order:
        rules["metric"] = f"{order}, Euclidean distance of the features"
    return {"rules": rules, "queries": queries, "no_match": no_match, "gallery": gallery, "junk_removed": junk}
