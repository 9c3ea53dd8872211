"""Weights and what they are weights of, in one safetensors file."""

from __future__ import annotations

import errno
from pathlib import Path

import torch
from torch import nn

from ..errors import FeatmaskError, require
from ..records.checkpoint import Header, read_header
from ..utils.files import replacing

FORMAT = "featmask-1"


def save_checkpoint(path: str | Path, model: nn.Module, header: Header) -> None:
    """Write a model's state as safetensors, and in the file's header what it is the state of.

    The file is written whole or not at all.
    """
    safetensors = require("safetensors", "train")
    save = require("safetensors.torch", "train").save_file
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    texts = {"format": FORMAT, "meta": header.text()}
    try:
        with replacing(path) as beside:
            save(tensors, beside, metadata=texts)
    except safetensors.SafetensorError as error:
        raise OSError(errno.EIO, "cannot write (is the disk full?)", str(path)) from error


def read_checkpoint(path: str | Path, *, header_only: bool = False) -> tuple[dict[str, torch.Tensor], Header]:
    """Read tensors (none where ``header_only``) and header of a checkpoint of ours; no code is run.

    Raises:
        FeatmaskError: no such file, not safetensors, not written by featmask, or a header that is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FeatmaskError(f"no checkpoint {path}")
    safetensors = require("safetensors", "train")
    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            texts = handle.metadata() or {}
            names = [] if header_only else handle.keys()
            tensors = {name: handle.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError) as error:
        raise FeatmaskError(f"{path} is not a readable safetensors file: {error}") from error
    if texts.get("format") != FORMAT:
        raise FeatmaskError(f"{path} was not written by featmask: its header says {texts.get('format')!r}")
    return tensors, read_header(texts.get("meta", ""), path)


def load_into(model: nn.Module, tensors: dict[str, torch.Tensor], path: str | Path = "the checkpoint") -> None:
    """Load tensors strictly.

    Raises:
        FeatmaskError: names or shapes that differ, with a few of them: it is the checkpoint of another model.
    """
    state = model.state_dict()
    wrong = [name for name in state if name not in tensors or tensors[name].shape != state[name].shape]
    extra = [name for name in tensors if name not in state]
    if wrong or extra:
        shown = ", ".join([*wrong[:3], *extra[:3]])
        raise FeatmaskError(
            f"{path} holds another model: {len(wrong)} of {len(state)} tensors are missing or have another shape, "
            f"{len(extra)} are not known here (such as {shown})"
        )
    model.load_state_dict(tensors)
