"""Stand-ins for layers and models that the tests of attaching share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn


class Counting(nn.Module):
    """Stands in for a mask layer: counts its calls and zeroes the top half of every map in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.masked = 0
        self.seen: tuple[int, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen = tuple(x.shape)
        if not self.training:
            return x
        self.masked += 1
        return top_zeroed(x)


class Plain(nn.Module):
    """The same without state, for compilers and exporters."""

    inplace_safe_after_conv = True

    def __init__(self) -> None:
        super().__init__()
        self.inplace = False

    def forward(self, x: Tensor) -> Tensor:
        return top_zeroed(x) if self.training else x


def top_zeroed(x: Tensor) -> Tensor:
    keep = (torch.arange(x.shape[2], device=x.device) >= x.shape[2] // 2).to(x.dtype)
    return x * keep[None, None, :, None]


class Net(nn.Module):
    """A convolution registered last runs first; a stage and its blocks; a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(self._block(), self._block())
        self.relu = nn.ReLU()
        self.fc = nn.Linear(6, 5)
        self.unused = nn.Conv2d(6, 6, 1)
        self.bn = nn.BatchNorm2d(6)
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1)

    @staticmethod
    def _block() -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        return self.fc(self.layer1(x).mean((2, 3)))

    def by_hand(self, x: Tensor, at: str) -> Tensor:
        """The forward with the mask written into it: the oracle."""

        def here(name: str, value: Tensor) -> Tensor:
            return top_zeroed(value) if name == at else value

        x = here("conv", self.conv(here("input", x)))
        x = here("relu", self.relu(here("bn", self.bn(x))))
        x = here("layer1.0", self.layer1[0](x))
        return self.fc(here("layer1", self.layer1[1](x)).mean((2, 3)))


PLACES = ["conv", "input", "bn", "relu", "layer1.0", "layer1"]


def images(samples: int = 2, size: int = 16) -> Tensor:
    return torch.randn(samples, 3, size, size, generator=torch.Generator().manual_seed(0))


def net() -> Net:
    torch.manual_seed(1)
    return Net()


def snapshot(model: nn.Module) -> list[tuple[str, list[str], dict[str, Any]]]:
    """Everything torch keeps on every module that attaching could leave something in."""
    hooks = [key for key in vars(nn.Module()) if "hooks" in key]
    return [
        (name, [child for child, _ in module.named_children()], {key: dict(vars(module)[key]) for key in hooks})
        for name, module in model.named_modules()
    ]


def both_kinds(test: Any) -> Any:
    return pytest.mark.parametrize("at", ["conv", "layer1", "input"])(test)
