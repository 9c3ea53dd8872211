"""A user's model from a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ...errors import FeatmaskError
from ..normalized import Normalized
from .archives import check_program, check_script, kind_of
from .onnx_graph import OnnxModel
from .wrapping import Model, wrap


def read_model(
    path: str | Path,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    batch: int | None = None,
    single_logit: bool = False,
    black_box: bool | None = None,
) -> Normalized:
    """Read a TorchScript archive, an ExportedProgram or an ONNX model, onto the CPU.

    No pickle is ever loaded, whatever the file's suffix. ``torch.jit.load`` uses no Python pickle but a reader of its
    own in C++; yet TorchScript is a program, has operators that read and write files, and may run while it is loaded.
    ``torch.export.load`` (read in 2.6, 2.8, 2.9, 2.11 and 2.15) unpickles example inputs without restriction, in the
    first three at once and in the others where tensors alone don't do, weights and constants if the file says so; and
    it evaluates the sizes' expressions as Python. So both kinds are looked through before torch sees them, and refused
    where they hold more than tensors and a graph of torch's own operators. That is a filter for what is known, and no
    sandbox: a file from a stranger stays a program from a stranger.

    Args:
        path: ``.pt``, ``.pth``, ``.ts``, ``.torchscript``, ``.pt2`` (told apart by content) or ``.onnx``.
        mean, std: a number per channel, in [0, 1] units; files don't say. (0, 0, 0) and (1, 1, 1) if normalisation is
            inside.
        size, batch, single_logit, black_box: as for :func:`wrap`. ONNX has no gradients.

    Raises:
        FeatmaskError: no such file, another kind of file, a pickle, a file that would run code, one that torch can't
            read, or what ``wrap`` refuses.
    """
    path = Path(path)
    kind = kind_of(path)
    if mean is None or std is None:
        raise FeatmaskError(
            f"{path} doesn't say how its input is normalised: pass mean and std, a number per channel in [0, 1] "
            "units; mean=(0, 0, 0), std=(1, 1, 1) if the model takes pixels in [0, 1] as they are"
        )
    model: Model
    if kind == "onnx":
        model = OnnxModel(path)
    elif kind == "torchscript":
        check_script(path)
        model = _torch_reads(path, torch.jit.load, map_location="cpu")
    else:
        check_program(path)
        model = _torch_reads(path, torch.export.load)
    return wrap(model, mean, std, size=size, batch=batch, single_logit=single_logit, black_box=black_box)


def _torch_reads(path: Path, load: Callable[..., Any], **options: Any) -> Any:
    try:
        with warnings.catch_warnings():
            # TorchScript is deprecated and files of older releases are outdated: no news to those who have such a file
            warnings.simplefilter("ignore")
            return load(str(path), **options)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FeatmaskError(f"torch {torch.__version__} cannot read {path}: {reason}") from error
