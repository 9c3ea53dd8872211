"""Weights and what they are weights of, in one safetensors file."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import FeatmaskError, require
from ..utils.files import replacing

FORMAT = "featmask-1"


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


def read_checkpoint(path: str | Path, *, header_only: bool = False) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read tensors and ``meta`` of a checkpoint of ours; no code is run.

    Args:
        path: the file.
        header_only: read ``meta`` alone, and no tensors.

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
            names = [] if header_only else handle.keys()
            tensors = {name: handle.get_tensor(name) for name in names}
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
