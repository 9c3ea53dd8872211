"""Models for retrieval: images in, features out."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ...errors import FeatmaskError
from .backbone import build_backbone
from .heads import Outputs, build_head


class Embedder(nn.Module):
    """A backbone and a head.

    Args:
        backbone: normalised images (N, C, H, W) -> maps (N, D, h, w).
        head: maps -> :class:`Outputs` in training mode, features in eval mode; see :func:`build_head`.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: torch.Tensor) -> Outputs | torch.Tensor:
        """In training mode ``Outputs(logits, features)``, in eval mode features (N, F), of normalised images."""
        out: Outputs | torch.Tensor = self.head(self.backbone(images))
        return out


def build_embedder(
    name: str,
    *,
    num_ids: int,
    in_chans: int = 3,
    pretrained: bool = False,
    last_stride: int = 2,
    pool: str = "gap",
    head: str = "bnneck",
    bottleneck: int = 512,
    dropout: float = 0.5,
    parts: int = 6,
) -> Embedder:
    """Make a model for re-identification by name.

    Args:
        name: of the backbone, with ``in_chans``, ``pretrained`` and ``last_stride`` as for :func:`build_backbone`.
        num_ids: identities in training.
        head: ``linear``, ``classblock``, ``bnneck`` or ``pcb``, with ``pool`` (``gap`` or ``gem``), ``bottleneck``,
            ``dropout`` and ``parts`` as for :func:`build_head`.

    Raises:
        FeatmaskError: as :func:`build_backbone` and :func:`build_head`.
    """
    backbone, channels = build_backbone(name, in_chans=in_chans, pretrained=pretrained, last_stride=last_stride)
    built = build_head(head, channels, num_ids, pool=pool, bottleneck=bottleneck, dropout=dropout, parts=parts)
    return Embedder(backbone, built)


class Descriptor(nn.Module):
    """What retrieval compares, as one differentiable function of pixels: the ``Embed`` of attacks on retrieval.

    Args:
        model: pixels (N, C, H, W) in [0, 1] -> features (N, F) in eval mode: an :class:`Embedder` in ``Normalized``.
        flip: add the features of the horizontal mirror image (layumi/Person_reID_baseline_pytorch).
        normalise: scale each feature to L2 length 1, last of all.
    """

    def __init__(self, model: nn.Module, *, flip: bool = False, normalise: bool = True) -> None:
        super().__init__()
        self.model, self.flip, self.normalise = model, flip, normalise

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features (N, F) of pixels (N, C, H, W) in [0, 1].

        Raises:
            FeatmaskError: the model is in training mode, or returns no features (N, F).
        """
        features = self._features(pixels)
        if self.flip:
            features = features + self._features(pixels.flip(3))
        return functional.normalize(features, dim=1) if self.normalise else features

    def _features(self, pixels: torch.Tensor) -> torch.Tensor:
        out: object = self.model(pixels)
        if isinstance(out, Outputs):
            raise FeatmaskError("expected a model in eval mode, got the outputs of training; call eval() first")
        if not isinstance(out, torch.Tensor) or out.dim() != 2:
            got = f"a tensor of shape {tuple(out.shape)}" if isinstance(out, torch.Tensor) else type(out).__name__
            raise FeatmaskError(f"expected features (N, F) from the model, got {got}")
        return out

    def extra_repr(self) -> str:
        """Both options."""
        return f"flip={self.flip}, normalise={self.normalise}"
