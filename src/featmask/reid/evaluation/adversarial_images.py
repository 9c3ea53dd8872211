"""Adversarial images as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from ...errors import require
from ...utils.files import replacing


def file_names(paths: Sequence[Path], rows: Sequence[int]) -> list[str]:
    """``NAME.png`` for each file; where several have one name, with its row in front."""
    often = Counter(path.stem for path in paths)
    return [
        f"{path.stem}.png" if often[path.stem] == 1 else f"{row:05d}_{path.stem}.png"
        for path, row in zip(paths, rows, strict=True)
    ]


def save_pictures(pixels: torch.Tensor, folder: Path, names: Sequence[str]) -> None:
    """Write 8-bit pixels (N, 3, H, W) in [0, 1] without loss."""
    image = require("PIL.Image", "reid")
    levels = (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    for array, name in zip(levels, names, strict=True):
        with replacing(folder / name) as beside:
            image.fromarray(array).save(beside, format="PNG")
