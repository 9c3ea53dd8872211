"""Where to compute, by name: checked once for training and for evaluation."""

from __future__ import annotations

import torch

from ..errors import FeatmaskError


def check_device(name: str) -> None:
    """Refuse a device that does not exist or is not here.

    Raises:
        FeatmaskError: not ``auto``, ``cpu``, ``cuda`` or ``mps``, or none of that kind on this machine.
    """
    if name not in ("auto", "cpu", "cuda", "mps"):
        raise FeatmaskError(f"device: expected auto, cpu, cuda or mps, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise FeatmaskError("device cuda: torch finds no CUDA device; use --device cpu or auto")
    if name == "mps" and not torch.backends.mps.is_available():
        raise FeatmaskError("device mps: torch finds no such device; use --device cpu or auto")


def pick_device(name: str) -> str:
    """``auto`` is CUDA where there is one, then MPS, then the CPU; other names are checked."""
    check_device(name)
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
