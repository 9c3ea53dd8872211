"""Losses of retrieval training, by name and with one call: a weighted sum over logits, features and identities.

The metric losses are pytorch-metric-learning's, so that a run is comparable with what people use. Each of them looks at
the pairs of one batch, so batches should hold several images of several identities (``sampling.PersonBatches``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..errors import FeatmaskError, require
from ..utils.option import Option

#: One term: name, weight, options.
Term = tuple[str, float, Mapping[str, Any]]


@dataclass(frozen=True)
class Loss:
    """One loss of the registry.

    Attributes:
        build: (options, identities, feature length) -> a module (logits, features, labels) -> scalar.
        source: the paper.
        options: what ``build`` can be given.
    """

    build: Callable[[dict[str, Any], int, int], nn.Module]
    source: str
    options: Mapping[str, Option] = field(default_factory=dict)


class _CrossEntropy(nn.Module):
    """Mean over the batch, summed over the classifiers (a part-based model has one per part)."""

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: tuple[torch.Tensor, ...], features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        each = [functional.cross_entropy(one, labels, label_smoothing=self.smoothing) for one in logits]
        return torch.stack(each).sum()


class _Metric(nn.Module):
    """A loss of pytorch-metric-learning, with a miner or without, on the features alone."""

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None) -> None:
        super().__init__()
        self.loss, self.miner = loss, miner

    def forward(self, logits: tuple[torch.Tensor, ...], features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        mined = () if self.miner is None else (self.miner(features, labels),)
        value: torch.Tensor = self.loss(features, labels, *mined)
        return value


def _library(part: str) -> Any:
    return require(f"pytorch_metric_learning.{part}", "reid")


def _triplet(options: dict[str, Any], ids: int, features: int) -> nn.Module:
    distance = _library("distances").LpDistance(normalize_embeddings=False)
    soft = options["margin"] is None
    loss = _library("losses").TripletMarginLoss(
        margin=0.0 if soft else options["margin"],
        smooth_loss=soft,
        distance=distance,
        # the library's own mean leaves out triplets that are right already; the paper's is over all anchors
        reducer=_library("reducers").MeanReducer(),
    )
    return _Metric(loss, _library("miners").BatchHardMiner(distance=distance))


def _pair_wise(name: str) -> Callable[[dict[str, Any], int, int], nn.Module]:
    return lambda options, ids, features: _Metric(getattr(_library("losses"), name)(**options))


#: By name. Distances: ``triplet`` takes the features as they are, the others at length 1. ``contrastive`` is the
#: library's form: a hinge that is not squared, and means over the pairs that still cost something. ``arcface`` gives
#: its margin in degrees and learns a weight matrix (feature length, identities) of its own.
LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(
        lambda options, ids, features: _CrossEntropy(**options),
        "smoothing: Szegedy et al. 2016, Rethinking the inception architecture, section 7",
        {"smoothing": Option(0.0, high=1.0)},
    ),
    "triplet": Loss(
        _triplet,
        "Hermans et al. 2017, In defense of the triplet loss, equation 5 (batch hard)",
        {"margin": Option(0.3, null="the soft margin, log(1 + exp(.))")},
    ),
    "circle": Loss(
        _pair_wise("CircleLoss"),
        "Sun et al. 2020, Circle loss, with pair-wise labels",
        {"m": Option(0.4, high=1.0), "gamma": Option(80.0, above=True)},
    ),
    "contrastive": Loss(
        _pair_wise("ContrastiveLoss"),
        "Hadsell et al. 2006, Dimensionality reduction by learning an invariant mapping",
        {"pos_margin": Option(0.0), "neg_margin": Option(1.0)},
    ),
    "arcface": Loss(
        lambda options, ids, features: _Metric(_library("losses").ArcFaceLoss(ids, features, **options)),
        "Deng et al. 2019, ArcFace: additive angular margin loss",
        {"margin": Option(28.6, high=90.0), "scale": Option(64.0, above=True)},
    ),
}


class RetrievalLoss(nn.Module):
    """A weighted sum of losses; made by ``build_loss``.

    A loss may have weights of its own (``arcface``): move the module to the model's device, give its ``parameters()``
    to the optimizer, and save its ``state_dict()``.
    """

    def __init__(self, names: Sequence[str], weights: Sequence[float], losses: Sequence[nn.Module], ids: int) -> None:
        super().__init__()
        self.names, self.weights, self.ids = tuple(names), tuple(weights), ids
        self.losses = nn.ModuleList(losses)

    def forward(self, logits: tuple[torch.Tensor, ...], features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Compute the sum in float32, whatever the precision around it.

        A batch in which a metric loss finds no pair to compare adds zero, with a gradient of zero.

        Args:
            logits: one (N, identities) for each classifier; empty for a model without any.
            features: (N, length), before any normalisation.
            labels: (N,) identities, 0 to identities - 1.

        Returns:
            A scalar.

        Raises:
            FeatmaskError: shapes that do not fit, labels out of range, or a cross-entropy without classifiers.
        """
        self._check(logits, features, labels)
        labels = labels.to(torch.int64)
        # autocast would take some products back to half precision
        with torch.autocast(features.device.type, enabled=False):
            exact, plain = tuple(one.float() for one in logits), features.float()
            each = [weight * loss(exact, plain, labels) for weight, loss in zip(self.weights, self.losses, strict=True)]
            return torch.stack(each).sum()

    def extra_repr(self) -> str:
        """Names and weights, as they are added."""
        return " + ".join(f"{weight:g} * {name}" for name, weight in zip(self.names, self.weights, strict=True))

    def _check(self, logits: tuple[torch.Tensor, ...], features: torch.Tensor, labels: torch.Tensor) -> None:
        if features.dim() != 2 or labels.shape != features.shape[:1] or labels.is_floating_point():
            raise FeatmaskError(
                "loss: expected features (N, length) and integer labels (N,), "
                f"got {tuple(features.shape)} and {labels.dtype} {tuple(labels.shape)}"
            )
        if not len(labels):
            raise FeatmaskError("loss: expected at least one image, got an empty batch")
        for one in logits:
            if one.shape != (len(labels), self.ids):
                raise FeatmaskError(
                    f"loss: expected logits ({len(labels)}, {self.ids}) of each classifier, got {tuple(one.shape)}"
                )
        if "cross_entropy" in self.names and not logits:
            raise FeatmaskError("loss: cross_entropy needs a classifier's logits, and the model gave none")
        low, high = torch.stack(labels.aminmax()).tolist()
        if low < 0 or high >= self.ids:
            raise FeatmaskError(f"loss: expected labels from 0 to {self.ids - 1}, got {low} to {high}; renumber them")


def build_loss(terms: Sequence[Term], *, num_ids: int, features: int) -> RetrievalLoss:
    """Make the loss of a run from its terms.

    Args:
        terms: (name in ``LOSSES``, weight above 0, options) each.
        num_ids: identities in training.
        features: length of the features.

    Raises:
        FeatmaskError: no term, an unknown name or option, or a value out of its range.
        MissingExtraError: a metric loss without pytorch-metric-learning.
    """
    if not terms:
        raise FeatmaskError(f"loss: expected at least one term of: {', '.join(LOSSES)}")
    if num_ids < 2 or features < 1:
        raise FeatmaskError(
            f"loss: expected two or more identities and features of length 1 or more, got {num_ids} and {features}"
        )
    built = []
    for name, weight, options in terms:
        check_term(name, weight, options)
        defaults = {key: option.default for key, option in LOSSES[name].options.items()}
        built.append(LOSSES[name].build({**defaults, **options}, num_ids, features))
    return RetrievalLoss([name for name, _, _ in terms], [float(weight) for _, weight, _ in terms], built, num_ids)


def check_term(name: str, weight: Any, options: Mapping[str, Any]) -> None:
    """Refuse a term that cannot be built.

    Raises:
        FeatmaskError: an unknown name or option, or a value out of its range.
    """
    if name not in LOSSES:
        raise FeatmaskError(f"unknown loss {name!r}; expected one of: {', '.join(LOSSES)}")
    if not Option(1.0, above=True).allows(weight):
        raise FeatmaskError(f"loss {name!r}: expected a weight above 0, got {weight!r}; leave out a term without one")
    known = LOSSES[name].options
    for key, value in options.items():
        if key not in known:
            raise FeatmaskError(f"loss {name!r} has no option {key!r}; expected: {', '.join(known)}")
        if not known[key].allows(value):
            raise FeatmaskError(f"loss {name!r}, option {key!r}: expected {known[key]}; got {value!r}")
