"""The family that Local Feature Masking is compared with, by name and under one roof.

Each member is the library's own layer (torch, torchvision), so that a comparison is with what people use. At the same
nominal p they drop very different shares: :func:`dropped_fraction` measures what a layer really drops.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from ..errors import FeatmaskError, MissingExtraError, require
from ..layers import LocalFeatureMasking, PublishedFeatureMasking

__all__ = ["FAMILY", "Member", "build_layer", "dropped_fraction"]


class RandomErasing(nn.Module):
    """torchvision's ``RandomErasing`` on a batch: each sample decides for itself. Input (N, C, H, W).

    Sources: Zhong et al. 2017 (random erasing), DeVries & Taylor 2017 (Cutout: a square of fixed size).
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        super().__init__()
        transforms = require("torchvision.transforms", "train")
        self.erase = transforms.RandomErasing(p, tuple(scale), tuple(ratio), value)

    @property
    def p(self) -> float:
        """Probability that a sample is erased; may be set between steps, for a schedule."""
        return float(self.erase.p)

    @p.setter
    def p(self, value: float) -> None:
        self.erase.p = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Erase one rectangle in some of the samples while training."""
        return torch.stack([self.erase(sample) for sample in x]) if self.training and len(x) else x


def _dropblock(p: float = 0.1, block_size: int = 7) -> nn.Module:
    if not 0 <= p <= 1:  # torchvision would notice in the first training step
        raise FeatmaskError(f"p: expected a probability in [0, 1], got {p!r}")
    layer: nn.Module = require("torchvision.ops", "train").DropBlock2d(p, block_size)
    return layer


def _cutout(p: float = 1.0, area: float = 0.25) -> nn.Module:
    return RandomErasing(p, scale=(area, area), ratio=(1.0, 1.0))


@dataclass(frozen=True)
class Member:
    """One regulariser of the family.

    Attributes:
        build: makes the layer from its options; None for the baseline.
        place: ``"feature"`` layers go where the user says, ``"input"`` layers always on the normalised image.
        source: the paper.
        options: the defaults that ``build_layer`` passes to ``build``.
        probability: the layer's attribute that a schedule may set between steps; None: it has no such thing.
    """

    build: Callable[..., nn.Module] | None
    place: Literal["none", "feature", "input"]
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    probability: str | None = "p"


FAMILY: dict[str, Member] = {
    "none": Member(None, "none", "the baseline", probability=None),
    "dropout": Member(nn.Dropout, "feature", "Srivastava et al. 2014", {"p": 0.1}),
    "dropout2d": Member(nn.Dropout2d, "feature", "Tompson et al. 2015 (SpatialDropout)", {"p": 0.1}),
    "dropblock": Member(_dropblock, "feature", "Ghiasi et al. 2018", {"p": 0.1, "block_size": 7}),
    "cutout": Member(_cutout, "input", "DeVries and Taylor 2017", {"p": 1.0, "area": 0.25}),
    "random_erasing": Member(RandomErasing, "input", "Zhong et al. 2017", {"p": 0.5}),
    "lfm": Member(LocalFeatureMasking, "feature", "Gong et al. 2024, as described"),
    "lfm_strongest": Member(
        LocalFeatureMasking,
        "feature",
        "ours, after Gong et al. 2024 and Park and Kwak 2016 (max-drop: the strongest activation is dropped)",
        {"place": "strongest"},
    ),
    "lfm_published": Member(PublishedFeatureMasking, "feature", "Gong et al. 2024, as in the authors' code"),
}


def member(name: str) -> Member:
    """Look a member up.

    Raises:
        FeatmaskError: no such member.
    """
    if name not in FAMILY:
        raise FeatmaskError(f"unknown method {name!r}; expected one of: {', '.join(FAMILY)}")
    return FAMILY[name]


def probability_of(name: str) -> str:
    """The attribute of a member's layers that holds their probability.

    Raises:
        FeatmaskError: no such member, or it has none.
    """
    found = member(name).probability
    if found is None:
        able = ", ".join(name for name, one in FAMILY.items() if one.probability is not None)
        raise FeatmaskError(f"method {name!r} has no probability that could follow a schedule; these do: {able}")
    return found


def build_layer(name: str, **options: Any) -> nn.Module | None:
    """Make the layer of that name; None for ``"none"``.

    Raises:
        FeatmaskError: no such member, or an option that it does not have.
    """
    chosen = member(name)
    if chosen.build is None:
        if options:
            raise FeatmaskError(f"method 'none' takes no options, got {sorted(options)}")
        return None
    ranges = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    try:
        return chosen.build(**{**chosen.options, **ranges})
    except MissingExtraError:
        raise
    except FeatmaskError as error:
        raise FeatmaskError(f"method {name!r}: {error}") from error
    except (TypeError, ValueError) as error:
        raise FeatmaskError(f"method {name!r} does not take the options {options}: {error}") from error


def dropped_by(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Which values of ``x`` (N, C, H, W) a layer drops, boolean: those that no gradient of the summed output reaches.

    That holds for layers that zero, that overwrite and that rescale what is left. ``x`` stays as it is.
    """
    with torch.enable_grad():
        entering = x.detach().requires_grad_()
        # multiplied by one: a layer that works in place must not meet a leaf
        (grad,) = torch.autograd.grad(layer(entering * 1.0).sum(), entering)
    return grad == 0


def dropped_fraction(
    layer: nn.Module | None, shape: tuple[int, int, int], *, samples: int = 512, batch_size: int = 16, seed: int = 0
) -> float:
    """Measure the share of values that a layer drops in training, whatever the layer.

    What is dropped: see :func:`dropped_by`.

    Args:
        layer: any layer that takes (N, C, H, W); None drops nothing.
        shape: (C, H, W) of the maps it sees.
        samples: how many samples to run; the coin of a ``per="batch"`` layer falls only samples / batch_size times.
        batch_size: samples a forward.
        seed: of the random numbers, which are put back afterwards.
    """
    if layer is None:
        return 0.0
    layer = copy.deepcopy(layer).train()  # a copy: flags, statistics and a private generator stay as they were
    dropped = 0.0
    batches = max(1, samples // batch_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(batches):
            x = torch.rand(batch_size, *shape).add_(0.5)
            dropped += float(dropped_by(layer, x).double().mean())
    return dropped / batches
