"""A sound small classifier, and what is wrong with the others: every way to fool an attack that the doctor must see."""

from __future__ import annotations

from collections.abc import Callable

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from featmask import LocalFeatureMasking, attach


class Digits(nn.Module):
    """Two convolutions with batch norm, dropout, a linear layer; pixels (N, 1, 8, 8) in [0, 1] -> 10 logits.

    ``front`` and ``back`` are where the broken ones differ: before the first and after the last layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.front, self.back = nn.Identity(), nn.Identity()
        self.conv1, self.bn1 = nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.BatchNorm2d(24)
        self.dropout, self.fc = nn.Dropout(0.3), nn.Linear(24 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn1(self.conv1(self.front(x) - 0.3)))
        x = functional.relu(self.bn2(self.conv2(x))).flatten(1)
        return self.back(self.fc(self.dropout(x)))


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """1,797 images (N, 1, 8, 8) of multiples of 1/16, and their labels (scikit-learn)."""
    raw = load_digits()
    return torch.from_numpy(raw.images).float()[:, None] / 16, torch.from_numpy(raw.target).long()


def train(seed: int = 0, epochs: int = 5, held_out: int = 300) -> tuple[nn.Module, TensorDataset]:
    """A sound net in eval mode, and samples that it never saw."""
    x, y = digits()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        order = torch.randperm(len(y))
        x, y = x[order], y[order]
        net = Digits()
        adam = torch.optim.Adam(net.parameters(), 3e-3)
        for _ in range(epochs):
            for some in (torch.randperm(len(y) - held_out) + held_out).split(64):
                adam.zero_grad()
                functional.cross_entropy(net(x[some]), y[some]).backward()
                adam.step()
    return net.eval(), TensorDataset(x[:held_out], y[:held_out])


class Lambda(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class _Backward(torch.autograd.Function):
    """``forward(x)``, with ``backward(gradient)`` whatever forward did."""

    @staticmethod
    def forward(ctx, x, forward, backward):
        ctx.backward_of = backward
        return forward(x)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.backward_of(gradient), None, None


def with_backward(forward: Callable, backward: Callable) -> nn.Module:
    return Lambda(lambda x: _Backward.apply(x, forward, backward))


def _same(values: torch.Tensor) -> torch.Tensor:
    return values


def _levels(x: torch.Tensor) -> torch.Tensor:
    return (x * 8).round() / 8


def _every_second(gradient: torch.Tensor) -> torch.Tensor:
    return gradient * (torch.arange(gradient.shape[-1]) % 2)


class BatchStatistics(nn.Module):
    """Subtracts the mean of the batch, in eval mode too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - 0.5 * (x.mean(0, keepdim=True) - 0.3)


class Stubborn(LocalFeatureMasking):
    """Masks in eval mode as in training."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        training, self.training = self.training, True
        try:
            return super().forward(x)
        finally:
            self.training = training


#: In front of the network.
FRONTS: dict[str, Callable[[], nn.Module]] = {
    "detached": lambda: Lambda(torch.Tensor.detach),
    "rounded": lambda: Lambda(_levels),
    "sign": lambda: Lambda(lambda x: (torch.sign(x - 0.5) + 1) / 2),
    "zero_backward": lambda: with_backward(_same, torch.zeros_like),
    "straight_through": lambda: with_backward(_levels, _same),
    "reversed": lambda: with_backward(_same, torch.neg),
    "half_backward": lambda: with_backward(_same, _every_second),
    "nan": lambda: Lambda(lambda x: x + 0 * x.sqrt()),
    "noisy": lambda: Lambda(lambda x: x + 0.1 * torch.randn_like(x)),
    "batch_statistics": BatchStatistics,
}
#: Behind it.
BACKS: dict[str, Callable[[], nn.Module]] = {
    "saturated": lambda: Lambda(lambda z: z * 1e4),
    "offset": lambda: Lambda(lambda z: z + 1e8),
    "softmax": lambda: nn.Softmax(1),
    "infinite": lambda: Lambda(lambda z: z / 0),
}


def break_it(name: str, net: nn.Module) -> nn.Module:
    """Break a copy of a sound net, in the way of that name."""
    if name in FRONTS:
        net.front = FRONTS[name]()
    elif name in BACKS:
        net.back = BACKS[name]()
    elif name == "train_mode":
        net.train()
    elif name == "half_train_mode":
        net.dropout.train()
    elif name == "mask_on":
        attach(net, LocalFeatureMasking(p=0.5), at="conv1", example=torch.zeros(2, 1, 8, 8))
        net.conv1.train()
    elif name == "mask_in_eval":
        attach(net, Stubborn(p=0.5), at="conv1", example=torch.zeros(2, 1, 8, 8))
    else:
        raise KeyError(name)
    return net


def break_data(name: str, data: TensorDataset) -> TensorDataset:
    """Break the samples instead."""
    x, y = data.tensors
    if name == "normalised":
        return TensorDataset((x - 0.3) / 0.37, y)
    if name == "divided_twice":
        return TensorDataset(x / 255, y)
    if name == "shifted_labels":
        return TensorDataset(x, (y + 1) % 10)
    if name == "labels_from_one":
        return TensorDataset(x, y + 1)
    raise KeyError(name)
