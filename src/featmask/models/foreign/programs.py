"""What a frozen graph says about itself: the input it takes, and whether it was frozen in training mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from ...errors import FeatmaskError


@dataclass(frozen=True)
class Takes:
    """What a graph takes: images per call, and their height and width; None where anything goes."""

    least: int = 1
    most: int | None = None
    height: int | None = None
    width: int | None = None

    def check(self, pixels: torch.Tensor) -> None:
        """Refuse what is not (N, C, H, W), of the graph's height and width where it has them."""
        if pixels.dim() != 4:
            raise FeatmaskError(f"expected pixels of shape (N, C, H, W), got {tuple(pixels.shape)}")
        wanted = (self.height, self.width)
        if any(side not in (None, given) for side, given in zip(wanted, pixels.shape[2:], strict=True)):
            height, width = (side or "any" for side in wanted)
            raise FeatmaskError(
                f"the model takes images of {height} x {width}, got {pixels.shape[2]} x {pixels.shape[3]}; resize the "
                "data, so that attacks act at the model's resolution"
            )

    def run(self, one_call: Callable[[torch.Tensor], torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
        """Call with as many images as the graph takes: more are split, fewer filled up with the last image."""
        if self.least <= len(pixels) and (self.most is None or len(pixels) <= self.most):
            return one_call(pixels)
        results = []
        for part in torch.split(pixels, self.most or len(pixels)):
            filling = part[-1:].expand(max(0, self.least - len(part)), -1, -1, -1)
            results.append(one_call(torch.cat([part, filling]))[: len(part)])
        return torch.cat(results)


def opened(program: ExportedProgram) -> tuple[nn.Module, Takes]:
    """An ExportedProgram as a module, and what it takes.

    ``program.module()`` refuses ``eval()`` and ``train()``, as its mode is a part of the graph; parameters, gradients
    and moves to another device work as elsewhere. (A graph that makes tensors on a device of its own must be moved
    with ``torch.export.passes.move_to_device_pass``.)

    Raises:
        FeatmaskError: more than one input, an input that is no batch of images, or a graph exported in training mode.
    """
    names = program.graph_signature.user_inputs
    inputs = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    shape: Sequence[Any] = getattr(inputs[0].meta.get("val"), "shape", ()) if len(inputs) == 1 else ()
    if len(shape) != 4:
        raise FeatmaskError(
            f"expected a program of one input, images (N, C, H, W); it has {len(inputs)} inputs {names}"
        )
    for node in program.graph.nodes:
        _refuse_training_node(node)
    least, most = _images(program, shape[0])
    height, width = (side if isinstance(side, int) else None for side in shape[2:])
    return program.module(), Takes(least, most, height, width)


def _images(program: ExportedProgram, images: Any) -> tuple[int, int | None]:
    if isinstance(images, int):
        return images, images
    bounds = program.range_constraints.get(images.node.expr)
    if bounds is None:
        return 1, None
    least, most = (int(b) if getattr(b, "is_Integer", False) else None for b in (bounds.lower, bounds.upper))
    return max(1, least or 1), most


TRAINING = (
    "the graph was frozen in training mode ({}): its logits are random or depend on the rest of the batch; "
    "call model.eval() and export it again"
)


def _refuse_training_node(node: Any) -> None:
    schema = getattr(node.target, "_schema", None)
    if node.op != "call_function" or schema is None:
        return
    given = dict(zip([a.name for a in schema.arguments], node.args, strict=False)) | node.kwargs
    on = given.get("training") is True or given.get("train") is True
    if on and schema.overload_name != "no_stats":  # what a decomposed instance normalisation calls, in either mode
        raise FeatmaskError(TRAINING.format(schema.name))


def refuse_traced_training(model: torch.jit.ScriptModule) -> None:
    """Refuse a trace that was made in training mode; a script keeps its mode as a flag, which evaluation sets.

    Raises:
        FeatmaskError: a dropout or a batch normalisation is in training mode for good.
    """
    graph: Any = model.inlined_graph
    for name, place in (("aten::dropout", 2), ("aten::feature_dropout", 2), ("aten::batch_norm", 5)):
        for node in graph.findAllNodes(name, recurse=True):
            values = list(node.inputs())
            flag = values[place].toIValue() if values[place].node().kind() == "prim::Constant" else None
            if flag is True:
                raise FeatmaskError(TRAINING.format(name))
