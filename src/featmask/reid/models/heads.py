"""Heads for re-identification: what is classified in training, and which features are compared.

=============  ==============================================  ==========================  ===========================
head           classifies                                      features for metric losses  features for retrieval
=============  ==============================================  ==========================  ===========================
``linear``     the pooled vector                               pooled                      pooled
``classblock`` Linear 512, batch norm, dropout (layumi)        after the norm              after the norm
``bnneck``     the pooled vector after a batch norm (BoT)      before the norm             after the norm
``pcb``        each of 6 stripes, through a Linear 256 (PCB)   stripes, each of length 1   stripes, each of length 1
=============  ==============================================  ==========================  ===========================

All are called alike: on maps (N, D, h, w) a head returns :class:`Outputs` in training mode, and the features for
retrieval (N, F) in eval mode. F is the same in both, and known as ``length``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from ...errors import FeatmaskError
from .pooling import build_pool

HEADS = ("linear", "classblock", "bnneck", "pcb")


class Outputs(NamedTuple):
    """What a head returns in training mode.

    Attributes:
        logits: (N, ids) of each classifier: one, or one per stripe.
        features: (N, F), what metric losses act on.
    """

    logits: tuple[torch.Tensor, ...]
    features: torch.Tensor


class LinearHead(nn.Module):
    """A linear classifier on the pooled vector, which is the feature in both modes."""

    def __init__(self, channels: int, num_ids: int, pool: nn.Module) -> None:
        super().__init__()
        self.length, self.pool = channels, pool
        self.classifier = nn.Linear(channels, num_ids)

    def forward(self, maps: torch.Tensor) -> Outputs | torch.Tensor:
        """Outputs (training) or features (N, channels) of maps (N, channels, h, w)."""
        pooled: torch.Tensor = self.pool(maps)
        return Outputs((self.classifier(pooled),), pooled) if self.training else pooled


class Bottleneck(nn.Module):
    """Linear - batch norm - dropout - Linear on vectors; the first three make the feature, the last the logits.

    Initial values as in layumi/Person_reID_baseline_pytorch, ``ClassBlock``.
    """

    def __init__(self, channels: int, num_ids: int, width: int, dropout: float) -> None:
        super().__init__()
        self.reduce, self.norm = nn.Linear(channels, width), nn.BatchNorm1d(width)
        self.dropout, self.classifier = nn.Dropout(dropout), nn.Linear(width, num_ids)
        nn.init.kaiming_normal_(self.reduce.weight, mode="fan_out")
        nn.init.normal_(self.norm.weight, 1.0, 0.02)
        nn.init.normal_(self.classifier.weight, std=0.001)
        for layer in (self.reduce, self.norm, self.classifier):
            nn.init.zeros_(layer.bias)

    def forward(self, vectors: torch.Tensor) -> Outputs | torch.Tensor:
        """Outputs (training) or features (N, width), both before dropout, of vectors (N, channels)."""
        features: torch.Tensor = self.norm(self.reduce(vectors))
        return Outputs((self.classifier(self.dropout(features)),), features) if self.training else features


class ClassBlock(nn.Module):
    """The head of layumi/Person_reID_baseline_pytorch: pool, then a :class:`Bottleneck`, without an activation."""

    def __init__(self, channels: int, num_ids: int, pool: nn.Module, bottleneck: int, dropout: float) -> None:
        super().__init__()
        self.length, self.pool = bottleneck, pool
        self.block = Bottleneck(channels, num_ids, bottleneck, dropout)

    def forward(self, maps: torch.Tensor) -> Outputs | torch.Tensor:
        """Outputs (training) or features (N, bottleneck) of maps (N, channels, h, w)."""
        out: Outputs | torch.Tensor = self.block(self.pool(maps))
        return out


class BNNeck(nn.Module):
    """Bag of tricks (Luo et al. 2019): metric losses before a batch norm, classifier and retrieval after.

    The norm's bias stays 0 and the classifier has none: identities are told apart by angle.
    """

    def __init__(self, channels: int, num_ids: int, pool: nn.Module) -> None:
        super().__init__()
        self.length, self.pool = channels, pool
        self.norm = nn.BatchNorm1d(channels)
        self.norm.bias.requires_grad_(False)
        self.classifier = nn.Linear(channels, num_ids, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, maps: torch.Tensor) -> Outputs | torch.Tensor:
        """Outputs (training) or features (N, channels) of maps (N, channels, h, w)."""
        pooled: torch.Tensor = self.pool(maps)
        normed: torch.Tensor = self.norm(pooled)
        return Outputs((self.classifier(normed),), pooled) if self.training else normed


class PartHead(nn.Module):
    """Part-based convolutional baseline (Sun et al. 2018): one classifier for each horizontal stripe.

    Stripes are averages; the :class:`Bottleneck` of each, to 256, has no activation, as in layumi's version. Features
    are the stripes before it, each of length 1, one after the other.
    """

    def __init__(self, channels: int, num_ids: int, parts: int, dropout: float) -> None:
        super().__init__()
        self.parts, self.length = parts, parts * channels
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Bottleneck(channels, num_ids, 256, dropout) for _ in range(parts))

    def forward(self, maps: torch.Tensor) -> Outputs | torch.Tensor:
        """Outputs (training) or features (N, parts * channels) of maps (N, channels, h, w).

        Raises:
            FeatmaskError: fewer rows than parts.
        """
        if maps.shape[2] < self.parts:
            raise FeatmaskError(
                f"expected maps with at least {self.parts} rows, one for each part, got {maps.shape[2]}: give taller "
                "images, set last_stride to 1, or take fewer parts"
            )
        stripes = functional.adaptive_avg_pool2d(maps, (self.parts, 1)).flatten(2)
        features = functional.normalize(stripes, dim=1).transpose(1, 2).flatten(1)
        if not self.training:
            return features
        pairs = zip(self.blocks, self.dropout(stripes).unbind(2), strict=True)
        return Outputs(tuple(block(vector).logits[0] for block, vector in pairs), features)


def build_head(
    name: str,
    channels: int,
    num_ids: int,
    *,
    pool: str = "gap",
    bottleneck: int = 512,
    dropout: float = 0.5,
    parts: int = 6,
) -> nn.Module:
    """Make a head by name.

    Args:
        name: ``linear``, ``classblock``, ``bnneck`` or ``pcb``; see the module's table.
        channels: of the maps.
        num_ids: identities in training.
        pool: ``gap`` or ``gem``; ``pcb`` always averages.
        bottleneck: features of ``classblock``; the stripes of ``pcb`` are always classified through 256.
        dropout: share dropped before the classifiers of ``classblock`` and ``pcb``, and of the stripes of ``pcb``.
        parts: stripes of ``pcb``.

    Raises:
        FeatmaskError: no such head or pooling, or a number that is not positive.
    """
    numbers = {"channels": channels, "num_ids": num_ids, "bottleneck": bottleneck, "parts": parts}
    for option, value in numbers.items():
        if value < 1:
            raise FeatmaskError(f"{option}: expected 1 or more, got {value}")
    if not 0 <= dropout < 1:
        raise FeatmaskError(f"dropout: expected a share in [0, 1), got {dropout}")
    pooling = build_pool(pool)
    if name == "linear":
        return LinearHead(channels, num_ids, pooling)
    if name == "classblock":
        return ClassBlock(channels, num_ids, pooling, bottleneck, dropout)
    if name == "bnneck":
        return BNNeck(channels, num_ids, pooling)
    if name == "pcb":
        return PartHead(channels, num_ids, parts, dropout)
    raise FeatmaskError(f"no head {name!r}; expected one of {', '.join(HEADS)}")
