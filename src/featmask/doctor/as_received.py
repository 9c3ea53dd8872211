"""The model as the doctor received it, before anything is switched: what is in training mode, which masks act."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..evaluation.frozen import full_float32
from ..family import RandomErasing
from ..insert import attached
from ..layers import LocalFeatureMasking
from ..models.outputs import logits_of
from ..records.doctor import Check
from ..utils.eval_mode import evaluating
from . import questions
from .subject import untouched

#: What the classes of layers are called whose output depends on the mode.
_MODAL = ("BatchNorm", "InstanceNorm", "Drop", "StochasticDepth", "Erasing", "Masking")
_SHOWN = 4


@dataclass(frozen=True)
class AsReceived:
    """Two passes as the model came, and what acted in them.

    Attributes:
        first: logits (N, classes) in the modes that the model came in.
        second: of the same images, in the same modes.
        training: layers in training mode whose output depends on it, as ``name (Type)``.
        masks: masking layers of this package.
        on: those of them that are in training mode, or changed maps in the passes.
        stuck: those that changed maps in eval mode.
    """

    first: torch.Tensor
    second: torch.Tensor
    training: list[str]
    masks: list[str]
    on: list[str]
    stuck: list[str]


def as_received(model: nn.Module, x: torch.Tensor) -> AsReceived:
    """Two passes in the modes that a model came in, full float32; batch statistics and modes stay as they were."""
    masks = masks_of(model)
    active = {name: part for name, part in model.named_modules() if part.training and _rate(part) != 0}
    kinds = {name: _kind(part) for name, part in active.items()}
    training = [f"{name} ({kind})" for name, kind in kinds.items() if any(word in kind for word in _MODAL)]
    with untouched(model), full_float32():
        with _watching(masks) as acted:
            first, second = logits_of(model(x)), logits_of(model(x))
        with _watching(masks) as stuck, evaluating(model):
            model(x)
    on = [name for name, layer in masks.items() if name in acted or (layer.training and _rate(layer) != 0)]
    return AsReceived(first.float(), second.float(), training, list(masks), on, sorted(stuck))


def masks_of(model: nn.Module) -> dict[str, nn.Module]:
    """Masking layers of this package and whatever ``attach`` put in, by where they are."""
    guests = [] if isinstance(model, torch.jit.ScriptModule) else attached(model)  # a script takes no hooks
    places = {id(layer): f"{type(layer).__name__} at {place}" for place, layer in guests}
    found: dict[str, nn.Module] = {}
    for name, part in model.named_modules():
        if id(part) in places:
            found[places[id(part)]] = part
        elif isinstance(part, LocalFeatureMasking | RandomErasing):
            found[f"{type(part).__name__} at {name or 'the root'}"] = part
    return found


def mode_check(came: AsReceived, logits: torch.Tensor, random: bool) -> Check:
    """Eval mode on every submodule, not only on the root; ``logits`` are of the same images in eval mode.

    Where two passes differ in eval mode too, the model is ``random``: then differences say nothing about modes.
    """
    differ = int((came.first.argmax(1) != logits.argmax(1)).sum())
    moved = not random and not torch.equal(came.first, logits)
    named = _some(came.training)
    return questions.MODE.answer(
        "failed" if came.training or moved else "ok",
        f"{len(came.training)} layer(s) in training mode{': ' + named if named else ''}; "
        f"{differ} of {len(logits)} predictions differ from eval mode",
        {"training": came.training, "predictions_changed": differ, "logits_changed": moved},
    )


def mask_check(came: AsReceived) -> Check:
    """Masking is for training alone."""
    wrong = list(dict.fromkeys([*came.stuck, *came.on]))
    state = "acts in eval mode" if came.stuck else "came switched on"
    if wrong:
        figure = f"{_some(wrong)} {state}"
    elif came.masks:
        figure = f"{len(came.masks)} masking layer(s), all of them off"
    else:
        figure = "no masking layer in the model"
    return questions.MASKING.answer(
        "failed" if wrong else "ok", figure, {"masks": came.masks, "on": came.on, "on_in_eval": came.stuck}
    )


def _kind(module: nn.Module) -> str:
    return str(getattr(module, "original_name", type(module).__name__))  # TorchScript keeps the class's name there


def _rate(module: nn.Module) -> object:
    return getattr(module, "p", getattr(module, "drop_prob", None))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


@contextmanager
def _watching(layers: dict[str, nn.Module]) -> Iterator[set[str]]:
    """Names of the layers that changed what they were given."""
    acted: set[str] = set()
    given: dict[str, torch.Tensor] = {}
    handles = []
    for name, layer in layers.items():

        def before(_: nn.Module, args: tuple[Any, ...], name: str = name) -> None:
            given[name] = args[0].detach().clone()  # a mask may write in place

        def after(_: nn.Module, args: tuple[Any, ...], out: torch.Tensor, name: str = name) -> None:
            if not torch.equal(out.detach(), given[name]):
                acted.add(name)

        handles += [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    try:
        yield acted
    finally:
        for handle in handles:
            handle.remove()
