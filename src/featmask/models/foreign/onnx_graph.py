"""An ONNX model as a module: a black box, as no gradients pass through it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import FeatmaskError, MissingExtraError, require
from .programs import Takes

DTYPES = {1: np.float32, 10: np.float16, 11: np.float64}
TYPE_NAMES = {"tensor(float)": 1, "tensor(float16)": 10, "tensor(double)": 11}


class OnnxModel(nn.Module):
    """An ONNX file, run by onnxruntime, or where that is not installed by the (slow) evaluator of the package onnx.

    It takes normalised images (N, C, H, W), also where the graph wants (N, H, W, C), and gives the output named
    "logits", or else the first. Copies and pickles open the file again.

    Args:
        path: the ONNX file; external weights lie beside it.

    Raises:
        FeatmaskError: no such file, no ONNX, or a graph whose input is no batch of images of floating point numbers.
        MissingExtraError: neither onnxruntime nor onnx is installed.
    """

    differentiable = False

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = str(path)
        self._open()

    def _open(self) -> None:
        try:
            self._session, name, shape, kind, outputs = _opened(self.path)
        except FeatmaskError:
            raise
        except Exception as error:  # each of the two libraries has a dozen of its own
            raise FeatmaskError(f"{self.path} is not a readable ONNX model: {error}") from error
        if len(shape) != 4 or kind not in DTYPES:
            raise FeatmaskError(f"expected an ONNX input of float images (N, C, H, W), {name!r} has the shape {shape}")
        self.input, self._dtype = name, DTYPES[kind]
        self.output = "logits" if "logits" in outputs else outputs[0]
        # channels last, as TensorFlow's exports have it: three numbers tell, unless the image is as small
        self.channels_last = shape[3] in (1, 3) and shape[1] not in (1, 3)
        batch, sides = shape[0], shape[1:3] if self.channels_last else shape[2:4]
        fixed = batch if isinstance(batch, int) else None
        height, width = (side if isinstance(side, int) else None for side in sides)
        self.takes = Takes(fixed or 1, fixed, height, width)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The graph's output for normalised images (N, C, H, W), as float32 on the images' device."""
        array = images.detach().cpu().numpy().astype(self._dtype)
        if self.channels_last:
            array = array.transpose(0, 2, 3, 1)
        results = self._session.run([self.output], {self.input: np.ascontiguousarray(array)})
        return torch.tensor(results[0], dtype=torch.float32, device=images.device)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_session"}  # a session has no copies

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call,unused-ignore]
        self._open()

    def extra_repr(self) -> str:
        """What `repr` shows."""
        return repr(self.path)


#: What runs the graph; its input's name, shape and type; its outputs' names.
Opened = tuple[Any, str, list[Any], int | None, list[str]]


def _opened(path: str) -> Opened:
    try:
        return _onnxruntime(path)
    except MissingExtraError:
        return _reference(path)


def _onnxruntime(path: str) -> Opened:
    runtime: Any = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in runtime.get_available_providers()]
    session = runtime.InferenceSession(path, options, providers=providers)
    first = _single(path, session.get_inputs())
    outputs = [output.name for output in session.get_outputs()]
    return session, first.name, list(first.shape), TYPE_NAMES.get(first.type), outputs


def _reference(path: str) -> Opened:
    onnx: Any = require("onnx", "onnx")
    evaluator = require("onnx.reference", "onnx").ReferenceEvaluator
    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer}  # old files list them among the inputs
    first = _single(path, [value for value in graph.input if value.name not in weights])
    tensor = first.type.tensor_type
    shape = [side.dim_value if side.HasField("dim_value") else side.dim_param for side in tensor.shape.dim]
    outputs = [value.name for value in graph.output]
    return evaluator(path), first.name, shape, tensor.elem_type, outputs


def _single(path: str, inputs: list[Any]) -> Any:
    if len(inputs) != 1:
        raise FeatmaskError(f"{path}: expected one input, images, got {[value.name for value in inputs]}")
    return inputs[0]
