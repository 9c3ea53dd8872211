"""Attach, detach, and list what is attached."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import nn

from ..errors import FeatmaskError, warn
from .hooks import InputHook, MaskHook, OutputHook, forget_compiled, hook_of, inplace_is_safe, layers_in, put, take
from .points import SHALLOW, Point, find_point
from .probe import Example, probe, unwrap

Place = str | Point

# which hooked module each layer object serves: one layer in two models would follow the eval() of both
_serving: weakref.WeakKeyDictionary[nn.Module, weakref.ref[nn.Module]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class _Placed:
    target: nn.Module
    hook: MaskHook
    layer: nn.Module
    inplace_before: bool | None


class Attachment(AbstractContextManager["Attachment"]):
    """The handle that :func:`attach` returns; as a context manager it removes the layers at the end.

    Attributes:
        layers: the attached modules, in the order of ``points``.
        points: where they are.
    """

    def __init__(self, points: list[Point], placed: list[_Placed]) -> None:
        self.points = points
        self.layers = [place.layer for place in placed]
        self._placed = placed

    def remove(self) -> None:
        """Take the layers out again; the model is as before. A second call does nothing."""
        for place in self._placed:
            take(place.target, type(place.hook), place.hook)
            if place.inplace_before is not None:
                _write_inplace(place.layer, place.inplace_before)
        self._placed = []
        forget_compiled()

    def __exit__(self, *error: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        placed = (f"{type(layer).__name__} at {point}" for layer, point in zip(self.layers, self.points, strict=True))
        return f"Attachment({', '.join(placed)})"


def attach(
    model: nn.Module,
    layer: nn.Module,
    at: Place | Sequence[Place] = "stem",
    *,
    example: Example | None = None,
    inplace: bool | None = None,
) -> Attachment:
    """Let ``layer`` act on the output of a place in ``model``, without changing keys, children or eval outputs.

    Args:
        model: any model of N x C x H x W images; may be wrapped by torch.compile, DataParallel,
            DistributedDataParallel or AveragedModel, which all mean the model inside.
        layer: an ``nn.Module`` without parameters or state that takes and returns N x C x H x W. To run several at
            one place, pass an ``nn.Sequential`` of them.
        at: ``"stem"``, the output of the first convolution to run, before its norm (where a stem has parallel
            branches: the module in which they meet); ``"input"``, the model's own first argument; a module's
            qualified name (``"layer1"``); a :class:`Point`; or a list of these, where each place after the first
            gets its own deep copy of the layer. The two words win over modules of that name: pass the
            :class:`Point` for a module called ``stem``.
        example: a batch of the model's input, or a tuple of its positional arguments, for the one forward that
            finds the places; guessed if None.
        inplace: None sets ``layer.inplace`` to True where it is False, the layer's class says
            ``inplace_safe_after_conv = True`` and :func:`inplace_is_safe` holds for the place. True and False
            force it. Removing restores the layer's value.

    Returns:
        A handle with ``remove()``, ``layers`` and ``points``.

    Raises:
        FeatmaskError: the layer has state or is in use; a place does not exist, does not run, does not return
            N x C x H x W or has a layer already; no forward passes; the model is scripted or quantised; in-place
            writing was forced where it is unsafe.

    Warns:
        FeatmaskWarning: the stem is a patch embedding (stride above 4), or only one of its branches can be masked.
    """
    inner = unwrap(model)
    _check_layer(layer)
    places: list[Place] = [at] if isinstance(at, (str, Point)) else list(at)
    if not places:
        raise FeatmaskError('expected at least one place in at=, got an empty list; use at="stem"')
    for place in places:
        if not isinstance(place, (str, Point)):
            raise FeatmaskError(f"expected a module's name in at=, got {type(place).__name__}: {place!r}")
    trace = probe(inner, example)
    points = [find_point(inner, trace, place) for place in places]
    targets: list[tuple[nn.Module, type[MaskHook]]] = [
        (inner, InputHook) if point.kind == "input" else (inner.get_submodule(point.name), OutputHook)
        for point in points
    ]
    _check_free(inner, points, targets)
    safe = [kind is OutputHook and inplace_is_safe(target) for target, kind in targets]
    _check_inplace(layer, inplace, points, safe)
    for point in points:
        _warn(point)
    placed = []
    layers = [layer, *(copy.deepcopy(layer) for _ in points[1:])]
    for (target, kind), guest, may in zip(targets, layers, safe, strict=True):
        before = _set_inplace(guest, inplace, may)
        hook = put(target, guest, kind)
        _serving[guest] = weakref.ref(target)
        placed.append(_Placed(target, hook, guest, before))
    forget_compiled()
    return Attachment(points, placed)


def detach(model: nn.Module) -> int:
    """Remove every attached layer from ``model`` (also from a copy or an unpickled one) and return their number."""
    modules = list(unwrap(model).modules())
    count = sum(take(module, kind) for module in modules for kind in (InputHook, OutputHook))
    forget_compiled()
    return count


def attached(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The attached layers with the names of their places, as ``(name, layer)``; the model's input is ``"input"``."""
    return list(layers_in(unwrap(model)))


def _check_layer(layer: object) -> None:
    if not isinstance(layer, nn.Module):
        hint = "; call it to make one: LocalFeatureMasking(p=0.15)" if isinstance(layer, type) else ""
        raise FeatmaskError(f"expected the layer as an nn.Module, got {layer!r}{hint}")
    state = [name for name, _ in layer.named_parameters()] + list(layer.state_dict())
    if state:
        raise FeatmaskError(
            f"expected a layer without parameters or buffers, which would add keys to the model's state_dict; "
            f"{type(layer).__name__} has {', '.join(dict.fromkeys(state))}"
        )
    serves = _serving.get(layer)
    target = serves() if serves is not None else None
    if target is not None and any(layer is child for child in target.modules()):
        raise FeatmaskError(
            f"this {type(layer).__name__} is attached already, to a {type(target).__name__}; a layer in two places "
            "would follow the train() and eval() of both. Pass a new one, or several places in one at=[...]"
        )


def _check_free(model: nn.Module, points: list[Point], targets: list[tuple[nn.Module, type[MaskHook]]]) -> None:
    names = [point.name for point in points]
    for name, (target, kind) in zip(names, targets, strict=True):
        if names.count(name) > 1:
            raise FeatmaskError(f"the place {name!r} is given twice in at=: {', '.join(names)}")
        if hook_of(target, kind) is not None:
            there = ", ".join(f"{type(layer).__name__} at {place!r}" for place, layer in attached(model))
            raise FeatmaskError(
                f"a layer is attached at {name!r} already (attached: {there}); call detach(model) or remove() first, "
                "or attach an nn.Sequential of both"
            )


def _check_inplace(layer: nn.Module, inplace: bool | None, points: list[Point], safe: list[bool]) -> None:
    if inplace is None:
        return
    if not isinstance(getattr(layer, "inplace", None), bool):
        raise FeatmaskError(f"inplace={inplace} was asked for, but {type(layer).__name__} has no bool 'inplace'")
    for point, may in zip(points, safe, strict=True):
        if inplace and not may:
            raise FeatmaskError(
                f"inplace=True is unsafe at {point.name!r} ({point.kind}): only the output of a plain nn.Conv2d "
                "without hooks may be overwritten; leave inplace=None"
            )


def _set_inplace(layer: nn.Module, inplace: bool | None, safe: bool) -> bool | None:
    """Set the flag as asked or as is safe; the value before, or None if it was left alone."""
    before = getattr(layer, "inplace", None)
    if not isinstance(before, bool):
        return None
    chosen = before or (safe and getattr(type(layer), "inplace_safe_after_conv", False)) if inplace is None else inplace
    if chosen == before:
        return None
    _write_inplace(layer, chosen)
    return before


def _write_inplace(layer: nn.Module, value: bool) -> None:
    # torch types the attributes of a module as tensors and modules alone
    object.__setattr__(layer, "inplace", value)


def _warn(point: Point) -> None:
    if point.stem and point.stride > SHALLOW:
        warn(
            f"the first convolution {point.name!r} is a patch embedding (stride {point.stride}): its outputs are "
            "tokens, not shallow local features; the method was made for CNN stems of stride 1 to 4"
        )
    if point.stem and "one of which" in point.note:
        warn(
            f"several convolutions read the model's input and meet in no shallow module; only {point.name!r} is "
            "masked. Choose a place from shallow_points(model)"
        )
