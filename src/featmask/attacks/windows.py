"""Square windows of an image: where they lie, and which pixels they hold."""

from __future__ import annotations

import torch


def window(numbers: torch.Tensor, side: int, x: torch.Tensor) -> torch.Tensor:
    """Upper left corners (N, 2), every place alike, for two numbers per sample in [0, 1)."""
    room = torch.tensor([x.shape[2] - side, x.shape[3] - side], device=x.device)
    return torch.minimum((numbers * (room + 1)).long(), room)


def inside(corners: torch.Tensor, side: int, x: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W): which pixels lie in the square of ``side`` at each of ``corners`` (N, 2)."""
    rows = torch.arange(x.shape[2], device=x.device) - corners[:, :1]
    columns = torch.arange(x.shape[3], device=x.device) - corners[:, 1:]
    down, across = (rows >= 0) & (rows < side), (columns >= 0) & (columns < side)
    return (down[:, :, None] & across[:, None, :])[:, None]
