"""Where a layer can go: the stem, and the other shallow N x C x H x W outputs."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from itertools import accumulate

from torch import nn

from ..errors import FeatmaskError, listed
from .probe import Call, Example, Size, Trace, probe, unwrap

#: A reduction above this is a patch embedding or a deep layer: no local feature.
SHALLOW = 4


@dataclass(frozen=True)
class Point:
    """A place in a model whose output is N x C x H x W.

    Attributes:
        name: the module's qualified name, or ``"input"``.
        kind: the module's class.
        channels: C of the output.
        height: H of the output, for the input that was tried.
        width: W of the output.
        stride: the input's size over the output's, rounded.
        stem: this is the model's first convolution, or the module in which the branches of the first one meet.
        note: what a reader should know of it.
    """

    name: str
    kind: str
    channels: int
    height: int
    width: int
    stride: int
    stem: bool = False
    note: str = ""

    def __str__(self) -> str:
        note = f"  ({self.note})" if self.note else ""
        return f"{self.name}: {self.kind}, {self.channels} x {self.height} x {self.width}, stride {self.stride}{note}"


def shallow_points(model: nn.Module, *, example: Example | None = None, max_reduction: int = SHALLOW) -> list[Point]:
    """Places near the input, in the order in which they run: the stem, stages, blocks, and resizing layers.

    Args:
        model: any CNN; nothing of it is changed (one forward in eval mode).
        example: an input batch, N x C x H x W; guessed if None.
        max_reduction: the largest stride that counts as shallow; the stem is listed whatever its stride.

    Raises:
        FeatmaskError: no forward passes, or the model is scripted or quantised.
    """
    return list_points(probe(unwrap(model), example), max_reduction)


def point_shape(model: nn.Module, at: str | Point = "stem", *, example: Example | None = None) -> tuple[int, int, int]:
    """C, H and W of what a layer attached at ``at`` would receive.

    Args:
        model, example: as for :func:`shallow_points`.
        at: as for :func:`featmask.insert.attach`; so are the errors.
    """
    inner = unwrap(model)
    point = find_point(inner, probe(inner, example), at)
    return point.channels, point.height, point.width


def find_point(model: nn.Module, trace: Trace, at: str | Point) -> Point:
    """The place that ``at`` names: "stem", "input", a module's qualified name, or a :class:`Point`.

    Raises:
        FeatmaskError: no such module, it did not run, or its output is not N x C x H x W.
    """
    if at == "input" or (isinstance(at, Point) and at.kind == "input"):
        return Point("input", "input", *_chw(trace.input), stride=1)
    if at == "stem":
        return find_stem(trace)
    name = at.name if isinstance(at, Point) else at
    modules = dict(model.named_modules(remove_duplicate=False))
    if not name or name not in modules:
        close = difflib.get_close_matches(name, list(modules), n=5)
        hint = f"; did you mean {', '.join(map(repr, close))}?" if close else ""
        raise FeatmaskError(f"the model has no module named {name!r}{hint} {_listing(trace)}")
    # a module registered under two names is recorded under the first
    first = next(key for key, module in modules.items() if module is modules[name])
    call = trace.calls.get(first)
    if call is None:
        raise FeatmaskError(f"{name!r} ({type(modules[name]).__name__}) did not run in a forward. {_listing(trace)}")
    fault = _fault(trace, call)
    if fault:
        raise FeatmaskError(f"expected N x C x H x W from {name!r}, but {fault}. {_listing(trace)}")
    return _point(trace, call)


def find_stem(trace: Trace) -> Point:
    """The first convolution by execution order, or the module in which its parallel branches meet.

    Raises:
        FeatmaskError: the model ran no ``nn.Conv2d``.
    """
    if not trace.readers:
        raise FeatmaskError(f"the model has no stem: no nn.Conv2d ran in a forward. {_listing(trace)}")
    first = trace.calls[trace.readers[0]]
    note = "stem"
    if len(trace.readers) > 1:
        meeting = _meeting(trace)
        note = f"stem, {len(trace.readers)} branches" + ("" if meeting else ", one of which is masked")
        first = meeting or first
    fault = _fault(trace, first, layout=False)
    if fault:
        raise FeatmaskError(f"expected N x C x H x W from the first convolution {first.name!r}, but {fault}")
    note += ", patch embedding" if _stride(trace, first) > SHALLOW else ""
    return _point(trace, first, stem=True, note=note)


def list_points(trace: Trace, max_reduction: int = SHALLOW) -> list[Point]:
    """The shallow points of a recorded forward, see :func:`shallow_points`."""
    stem = find_stem(trace) if trace.readers else None
    shallow = {
        name: call
        for name, call in trace.calls.items()
        if name and not _fault(trace, call) and _stride(trace, call) <= max_reduction
    }
    # a stage returns what its last block returned: the outermost name stands for both
    outermost: dict[int, str] = {}
    for name, call in shallow.items():
        if not call.leaf:
            known = outermost.get(call.token)
            outermost[call.token] = name if known is None or known.startswith(f"{name}.") else known
    points = []
    for name, call in shallow.items():
        if stem is not None and (name == stem.name or name.startswith(f"{stem.name}.")):
            continue
        if _inside_deep_block(trace, name, shallow):
            continue
        around = [parent for parent in _parents(name) if parent in shallow]
        if call.leaf:
            resizes = call.entering is not None and call.shape is not None and call.entering[2:] != call.shape[2:]
            keep = not around and (call.conv or resizes)
        else:
            keep = outermost[call.token] == name and (not around or _is_block(name, shallow))
        if keep:
            points.append(_point(trace, call))
    order = {name: index for index, name in enumerate(trace.calls)}
    return sorted([*points, *([stem] if stem else [])], key=lambda point: order[point.name])


def _is_block(name: str, shallow: dict[str, Call]) -> bool:
    """One of several like modules in a stage, with the stage's own shape: no branch, expansion or part of a block."""
    parents = [parent for parent in _parents(name) if parent in shallow]
    same_shape = shallow[name].shape == shallow[parents[0]].shape
    return same_shape and _has_twin(name, shallow) and not any(_has_twin(parent, shallow) for parent in parents[1:])


def _has_twin(name: str, shallow: dict[str, Call]) -> bool:
    stage, call = name.rpartition(".")[0], shallow[name]
    return any(
        key != name and key.rpartition(".")[0] == stage and (other.kind, other.shape) == (call.kind, call.shape)
        for key, other in shallow.items()
    )


def _inside_deep_block(trace: Trace, name: str, shallow: dict[str, Call]) -> bool:
    """A first layer of a block that reduces further; a backbone around all blocks is no block."""
    around = [trace.calls[parent] for parent in _parents(name) if parent in trace.calls and parent not in shallow]
    return len({call.token for call in around if not _fault(trace, call)}) > 1


def _meeting(trace: Trace) -> Call | None:
    """The smallest module around all first convolutions that has run and is still a shallow N x C x H x W."""
    shared = set(trace.calls).intersection(*(_parents(name) for name in trace.readers))
    if not shared:
        return None
    call, first = trace.calls[max(shared, key=len)], trace.calls[trace.readers[0]]
    # a block far behind both convolutions is no stem
    near = not _fault(trace, call) and _stride(trace, call) <= max(SHALLOW, _stride(trace, first))
    return call if near else None


def _fault(trace: Trace, call: Call, *, layout: bool = True) -> str:
    """Why the output is not N x C x H x W; empty if it is."""
    shape = call.shape
    if shape is None:
        return f"it returns a {call.returned}"
    if len(shape) == 3:
        return f"it returns {_text(shape)}, a sequence of tokens (N x L x C)"
    if len(shape) != 4 or shape[0] != trace.input[0]:
        return f"it returns {_text(shape)}"
    if layout and not _matches(trace, shape[2:]) and _matches(trace, shape[1:3]):
        return f"it returns {_text(shape)}, which is N x H x W x C (channels last)"
    return ""


def _matches(trace: Trace, size: Size) -> bool:
    """Both sides are reduced alike, up to rounding at the borders."""
    (height, width), (rows, columns) = trace.input[2:], size
    return abs(rows * width - columns * height) <= 2 * max(height, width) and rows <= height and columns <= width


def _stride(trace: Trace, call: Call) -> int:
    assert call.shape is not None
    return max(1, round(max(trace.input[2] / max(1, call.shape[2]), trace.input[3] / max(1, call.shape[3]))))


def _parents(name: str) -> list[str]:
    return list(accumulate(name.split(".")[:-1], "{}.{}".format))


def _chw(shape: Size) -> tuple[int, int, int]:
    return shape[1], shape[2], shape[3]


def _point(trace: Trace, call: Call, *, stem: bool = False, note: str = "") -> Point:
    assert call.shape is not None
    return Point(call.name, call.kind, *_chw(call.shape), stride=_stride(trace, call), stem=stem, note=note)


def _text(shape: Size) -> str:
    return " x ".join(map(str, shape))


def _listing(trace: Trace) -> str:
    points = [str(point) for point in list_points(trace)]
    return f"Shallow points:{listed(points, 12) if points else ' none'}"
