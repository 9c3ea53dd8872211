"""From feature maps to one vector per image."""

from __future__ import annotations

import torch
from torch import nn

from ...errors import FeatmaskError


class AveragePool(nn.Module):
    """The mean over all positions: (N, D, h, w) -> (N, D)."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Vectors (N, D) of maps (N, D, h, w)."""
        return maps.mean((2, 3))


class GeM(nn.Module):
    """Generalised mean over all positions, ``mean(x^p)^(1/p)``: (N, D, h, w) -> (N, D).

    p = 1 is the mean, p to infinity the maximum; p is learned (Radenovic et al. 2018, equation 3).

    Args:
        p: the exponent to start from; one for all channels.
        eps: smaller values count as this, so that powers and their gradients exist.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p], dtype=torch.float32))
        self.eps = eps

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Vectors (N, D) of maps (N, D, h, w)."""
        # half precision has no eps^3
        x = maps.to(torch.promote_types(maps.dtype, torch.float32)).clamp(min=self.eps)
        return x.pow(self.p.view(1, 1, 1, 1)).mean((2, 3)).pow(1 / self.p).to(maps.dtype)

    def extra_repr(self) -> str:
        """The exponent as it is now, and eps."""
        return f"p={self.p.item():.3g}, eps={self.eps:g}"


POOLS: dict[str, type[nn.Module]] = {"gap": AveragePool, "gem": GeM}


def build_pool(name: str) -> nn.Module:
    """Make a pooling by name: ``gap`` (:class:`AveragePool`) or ``gem`` (:class:`GeM`).

    Raises:
        FeatmaskError: no such pooling.
    """
    if name not in POOLS:
        raise FeatmaskError(f"no pooling {name!r}; expected one of {', '.join(POOLS)}")
    return POOLS[name]()
