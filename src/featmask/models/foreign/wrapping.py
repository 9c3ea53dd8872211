"""Any user's model as one that evaluation can attack: pixels in [0, 1] in, logits (N, classes) out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from ...errors import FeatmaskError
from ..normalized import Normalized
from ..outputs import is_differentiable, logits_of, one_row_per_image, two_columns
from .programs import Takes, opened, refuse_traced_training

Model = nn.Module | ExportedProgram | Callable[[torch.Tensor], Any]


class Foreign(Normalized):
    """A model from elsewhere: normalisation inside, its output reduced to logits. Made by ``wrap`` and ``read_model``.

    Args:
        model: takes normalised images, as many and as large as ``takes`` says.
        mean, std: as for :class:`Normalized`; so are the errors.
        takes: batch and image size of a frozen graph.
        differentiable: whether gradients reach the pixels; where not, only black-box attacks mean anything.
        single_logit: the model gives one logit z of the second of two classes; the result has the logits (0, z).
    """

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        takes: Takes | None = None,
        *,
        differentiable: bool = True,
        single_logit: bool = False,
    ) -> None:
        super().__init__(model, mean, std)
        self.takes = takes or Takes()
        self.differentiable = differentiable
        self.single_logit = single_logit

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of pixels (N, C, H, W) in [0, 1].

        Raises:
            FeatmaskError: images of a size that the model doesn't take, or an output without logits in it.
        """
        self.takes.check(pixels)
        if self.differentiable:
            return self.takes.run(self._one_call, pixels)
        with torch.no_grad():  # a part of the path may have gradients; half a gradient is worse than none
            return self.takes.run(self._one_call, pixels)

    def _one_call(self, pixels: torch.Tensor) -> torch.Tensor:
        try:
            logits = logits_of(super().forward(pixels))
        except RuntimeError as error:
            if isinstance(self.model, torch.jit.ScriptModule) and "invalid for input of size" in str(error):
                raise FeatmaskError(
                    f"the TorchScript model fails on {tuple(pixels.shape)}; if its trace fixed the batch size or the "
                    f"image's, say which: batch=, size=. ({str(error).strip().splitlines()[-1]})"
                ) from error
            raise
        return two_columns(logits, pixels) if self.single_logit else one_row_per_image(logits, pixels)

    def extra_repr(self) -> str:
        """What `repr` shows."""
        return f"differentiable={self.differentiable}, single_logit={self.single_logit}, takes={self.takes}"


def wrap(
    model: Model,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    batch: int | None = None,
    single_logit: bool = False,
    black_box: bool | None = None,
) -> Normalized:
    """Make any model one that takes pixels in [0, 1] and gives logits.

    Args:
        model: an ``nn.Module`` (timm, torchvision, Hugging Face, TorchScript, your own), an ``ExportedProgram``, or a
            function from images to logits, a tensor or a NumPy array. Objects with ``logits``, mappings with
            "logits" and tuples that begin with a tensor are fine. A ``Normalized`` model is given back as it is.
        mean, std: a number per channel, in [0, 1] units. Default: a timm model's own, which are those of timm's
            published weights; pass yours if you trained with others. No other model says.
        size: height and width that the model takes, where it doesn't say; other images are refused.
        batch: the one batch size that a graph was made for, where it doesn't say; other batches are split and filled.
        single_logit: a binary classifier gives one logit z per image; it is turned into (0, z).
        black_box: True: never use gradients. False: the function does pass gradients on. Default: modules have
            gradients; a function is tried out where ``size`` is given, and else taken as a black box.

    Raises:
        FeatmaskError: statistics that are not known, options that contradict the model, or a graph that was frozen
            in training mode.
    """
    if isinstance(model, Normalized):
        if (mean, std, size, batch, single_logit, black_box) != (None, None, None, None, False, None):
            raise FeatmaskError("this model is wrapped already; wrap the one inside it (its attribute model) instead")
        return model
    inner, takes = _module_of(model)
    takes = _with_options(takes, size, batch)
    if (mean is None) != (std is None):
        raise FeatmaskError("pass both mean and std, or neither")
    statistics = (mean, std) if mean is not None and std is not None else known_statistics(inner)
    able = bool(getattr(inner, "differentiable", True))
    if black_box is False and not able and not isinstance(inner, Called):
        raise FeatmaskError(f"black_box=False, but {type(inner).__name__} passes no gradients on")
    able = able if black_box is None else not black_box
    wrapped = Foreign(inner, *statistics, takes, single_logit=single_logit, differentiable=able)
    if black_box is None and isinstance(inner, Called) and takes.height and takes.width:
        wrapped.differentiable = True
        grey = torch.full((1, wrapped.mean.shape[1], takes.height, takes.width), 0.5)
        wrapped.differentiable = is_differentiable(wrapped, grey)
    return wrapped


class Called(nn.Module):
    """A plain function as a module."""

    differentiable = False

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: torch.Tensor) -> Any:
        """What the function gives."""
        return self.function(images)


def _module_of(model: Model) -> tuple[nn.Module, Takes]:
    if isinstance(model, ExportedProgram):
        return opened(model)
    if isinstance(model, torch.jit.ScriptModule):
        refuse_traced_training(model)
    if isinstance(model, nn.Module):
        return model, getattr(model, "takes", None) or Takes()
    if callable(model):
        return Called(model), Takes()
    raise FeatmaskError(f"expected a module, an ExportedProgram or a function, got {type(model).__name__}")


def _with_options(takes: Takes, size: int | tuple[int, int] | None, batch: int | None) -> Takes:
    height, width = (size, size) if isinstance(size, int) or size is None else size
    pairs = (("size", takes.height, height), ("size", takes.width, width), ("batch", takes.most, batch))
    for name, fixed, given in pairs:
        if fixed is not None and given is not None and fixed != given:
            raise FeatmaskError(f"{name}={given} was asked for, but the model takes {fixed}")
    if batch is not None:
        takes = replace(takes, least=batch, most=batch)
    return replace(takes, height=takes.height or height, width=takes.width or width)


def known_statistics(model: nn.Module) -> tuple[Sequence[float], Sequence[float]]:
    """The mean and std that a timm model was made for.

    Raises:
        FeatmaskError: the model doesn't say, or it takes another number of channels than they are for.
    """
    inner: Any = getattr(model, "module", model)  # DataParallel's
    config = getattr(inner, "pretrained_cfg", None) or getattr(inner, "default_cfg", None) or {}
    values = config if isinstance(config, Mapping) else vars(config)
    mean, std = values.get("mean"), values.get("std")
    if mean is None or std is None:
        raise FeatmaskError(
            f"{type(model).__name__} doesn't say how its input is normalised: pass mean and std, a number per channel "
            "in [0, 1] units (torchvision: weights.transforms().mean and .std). If it takes pixels in [0, 1] as they "
            "are, pass mean=(0, 0, 0), std=(1, 1, 1)"
        )
    first = values.get("first_conv")
    channels = getattr(dict(inner.named_modules()).get(first), "in_channels", None) if isinstance(first, str) else None
    if channels not in (None, len(mean)):
        raise FeatmaskError(
            f"the model takes {channels} channel(s), but its statistics are for {len(mean)}: pass yours"
        )
    return mean, std
