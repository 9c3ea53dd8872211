"""Residual networks for small images."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a parameter-free shortcut (He et al. 2016, section 4.2, option A)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.extra = width - channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        rows, columns = self.conv1.stride  # read here: whoever changes the convolution's means the block's
        shortcut = functional.pad(x[:, :, ::rows, ::columns], (0, 0, 0, 0, 0, self.extra))
        return functional.relu(out + shortcut)


class SmallResNet(nn.Module):
    """The residual network for small images of He et al. 2016 (section 4.2): 6n + 2 layers, 16, 32, 64 channels.

    Args:
        n: blocks in each of the three stages.
        num_classes: outputs of the head; 0 for no head, the network then returns its feature maps.
        in_chans: channels of an image.
        stride: of the first convolution. 2 is what networks for large images have; here it makes all that follows a
            quarter of the work, for studies without a GPU.
    """

    def __init__(self, n: int, num_classes: int, in_chans: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, 16, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(_Block(before, after, stride), *(_Block(after, after, 1) for _ in range(n - 1)))
            for before, after, stride in widths
        )
        self.fc = nn.Linear(64, num_classes) if num_classes else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps (N, 64, H/4, W/4), or half as high and wide, of normalised images (N, C, H, W)."""
        out: torch.Tensor = self.layer3(self.layer2(self.layer1(functional.relu(self.bn1(self.conv1(x))))))
        return out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of normalised images (N, C, H, W); the feature maps if there is no head."""
        maps = self.forward_features(x)
        if self.fc is None:
            return maps
        out: torch.Tensor = self.fc(maps.mean((2, 3)))
        return out
