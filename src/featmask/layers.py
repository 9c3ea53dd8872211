"""Local Feature Masking as a layer: a thin module over :mod:`featmask.functional`."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from .functional import masked
from .masking.options import Fill, Options, Per, Place, Range
from .masking.plan import Plan

__all__ = ["LocalFeatureMasking", "PublishedFeatureMasking"]


class LocalFeatureMasking(nn.Module):
    """Overwrite random rectangles in random channels of random samples while training; identity in eval mode.

    See :func:`featmask.functional.local_feature_masking` for the arguments. The layer has no parameters and no
    buffers: a state_dict is the same with and without it.

    Source: Gong et al., "Beyond Dropout", IJCNN 2024 (arXiv 2407.13646). The defaults are the published numbers.

    Example:
        >>> layer = LocalFeatureMasking(p=0.15)
        >>> maps = layer(torch.randn(8, 64, 128, 64))
        >>> layer.dropped_fraction  # doctest: +SKIP
        0.0127
    """

    #: A convolution does not need its own output for the backward pass: after one, ``inplace=True`` is safe.
    inplace_safe_after_conv = True

    def __init__(
        self,
        p: float = 0.15,
        *,
        channels: float = 0.5,
        area: Range = (0.02, 0.4),
        aspect: Range = (0.3, 1 / 0.3),
        fill: Fill = "uniform",
        per: Per = "sample",
        place: Place = "random",
        generator: torch.Generator | None = None,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        self.options = Options(p=p, channels=channels, area=area, aspect=aspect, fill=fill, per=per, place=place)
        self.generator = generator
        self.inplace = inplace
        self._plan: Plan | None = None

    @classmethod
    def paper(cls) -> LocalFeatureMasking:
        """The algorithm as the paper describes it, with the published numbers: the default."""
        return LocalFeatureMasking()

    @classmethod
    def published(cls, p: float = 0.15, *, first: int | None = None) -> PublishedFeatureMasking:
        """The authors' code in distribution; see :class:`PublishedFeatureMasking`."""
        return PublishedFeatureMasking(p, first=first)

    @property
    def p(self) -> float:
        """Probability that a sample (or the batch) is masked; may be set between steps, for a schedule."""
        return self.options.p

    @p.setter
    def p(self, value: float) -> None:
        self.options = replace(self.options, p=value)

    @property
    def last_mask(self) -> torch.Tensor | None:
        """What the last training forward overwrote, boolean (N, C, H, W) on the CPU; None before one.

        Made from the plan when asked for. A forward inside a compiled graph leaves no plan behind.
        """
        return None if self._plan is None else self._plan.mask()

    @property
    def dropped_fraction(self) -> float | None:
        """The share of values that the last training forward overwrote; None before one."""
        return None if self._plan is None else self._plan.fraction()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mask feature maps (N, C, H, W) in training mode; return ``x`` itself in eval mode."""
        if not self.training:
            return x
        x, self._plan = masked(x, self.options, generator=self.generator, inplace=self.inplace)
        return x

    def extra_repr(self) -> str:
        """The arguments, so that the representation reproduces the call."""
        o = self.options
        parts = [f"p={o.p}", f"channels={o.channels}", f"area={tuple(o.area)}", f"aspect={tuple(o.aspect)}"]
        if o.published:
            parts.append(f"first={o.first}")
        else:
            parts += [f"fill={o.fill!r}", f"per={o.per!r}", f"place={o.place!r}"]
        return ", ".join([*parts, f"inplace={self.inplace}"])

    def __getstate__(self) -> dict[str, object]:
        # the last plan is an observation, not state: a copy or a pickle starts without it
        return {**self.__dict__, "_plan": None}


class PublishedFeatureMasking(LocalFeatureMasking):
    """Mask as the authors' published code does, in distribution; identity in eval mode.

    See :func:`featmask.functional.published_feature_masking` for how it differs from the paper's description.
    """

    def __init__(
        self,
        p: float = 0.15,
        *,
        channels: float = 0.5,
        area: Range = (0.02, 0.4),
        aspect: Range = (0.3, 1 / 0.3),
        first: int | None = None,
        generator: torch.Generator | None = None,
        inplace: bool = False,
    ) -> None:
        super().__init__(p, channels=channels, area=area, aspect=aspect, generator=generator, inplace=inplace)
        self.options = replace(self.options, per="batch", published=True, first=first)
