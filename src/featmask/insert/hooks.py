"""How a layer is held and called: a guest in a leaf module, and a hook that finds it by its path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..errors import FeatmaskError

#: The child's name; a number is added where it is taken.
CHILD = "feature_mask"
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class MaskHook:
    """Calls the layer that lies under the hooked module at ``path``.

    A path, not a reference: a copy, a replica or an unpickled model finds its own layer.
    """

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path

    def layer(self, module: nn.Module) -> nn.Module | None:
        """The layer under ``module``, or None if the module that held it was removed."""
        there: Any = module
        for name in self.path:
            there = getattr(there, name, None)
        return there if isinstance(there, nn.Module) else None

    def apply(self, module: nn.Module, x: Any) -> Any:
        """``x`` (N x C x H x W) through the layer."""
        layer = self.layer(module)
        if layer is None:
            if module.training:
                raise FeatmaskError(
                    f"the mask layer at {'.'.join(self.path)!r} is gone: the module that held it was replaced; "
                    "call detach(model) and attach again"
                )
            return x  # branches merged for inference: nothing to mask
        if isinstance(x, fx.Proxy):
            # keep the layer whole in the graph: tracing through a random layer would freeze its choices
            tracer: Any = x.tracer
            return tracer.create_proxy("call_module", tracer.path_of_module(layer), (x,), {})
        return layer(x)


class OutputHook(MaskHook):
    """A forward hook: the layer takes the module's output."""

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        """The output to use instead."""
        return self.apply(module, output)


class InputHook(MaskHook):
    """A forward pre-hook with keywords: the layer takes the module's first argument."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The arguments to use instead."""
        if args:
            return (self.apply(module, args[0]), *args[1:]), kwargs
        for name, value in kwargs.items():
            if isinstance(value, Tensor):
                return args, {**kwargs, name: self.apply(module, value)}
        return args, kwargs


def inplace_is_safe(module: nn.Module) -> bool:
    """Whether the output of ``module`` may be overwritten: nothing else reads it, its own backward included.

    True only for exactly ``nn.Conv2d``, whose backward needs its input and weight, without any hook that may keep
    the output. A subclass may do anything.
    """
    return type(module) is nn.Conv2d and not any(
        (module._forward_hooks, module._backward_hooks, module._backward_pre_hooks)
    )


def hook_of(module: nn.Module, kind: type[MaskHook]) -> tuple[int, MaskHook] | None:
    """The key and the hook of that kind that is on ``module``, if any."""
    return next(((key, hook) for key, hook in hooks_on(module, kind).items() if isinstance(hook, kind)), None)


def hooks_on(module: nn.Module, kind: type[MaskHook]) -> dict[int, Any]:
    """The dictionary in which torch keeps hooks of that kind."""
    hooks: dict[int, Any] = module._forward_pre_hooks if kind is InputHook else module._forward_hooks
    return hooks


def layers_in(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All attached layers with the names of their places; the model's input is ``"input"``."""
    for name, module in model.named_modules():
        for kind in (InputHook, OutputHook):
            there = hook_of(module, kind)
            layer = there[1].layer(module) if there else None
            if layer is not None:
                yield "input" if kind is InputHook else name, layer


def forget_compiled() -> None:
    """Let torch.compile trace again: it does not notice hooks that come or go after a compiled forward."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


def put(target: nn.Module, layer: nn.Module, kind: type[MaskHook]) -> MaskHook:
    """Make ``layer`` a guest under ``target`` and hook it.

    Raises:
        FeatmaskError: ``target`` contains nothing that could hold it.
    """
    path, host = _host(target)
    name, number = CHILD, 1
    while hasattr(host, name):
        number += 1
        name = f"{CHILD}_{number}"
    layer.train(target.training)
    host.add_module(name, layer)
    hook = kind((*path, name))
    if isinstance(hook, InputHook):
        target.register_forward_pre_hook(hook, with_kwargs=True)
    elif isinstance(hook, OutputHook):
        target.register_forward_hook(hook)
    return hook


def take(target: nn.Module, kind: type[MaskHook], hook: MaskHook | None = None) -> bool:
    """Undo :func:`put`. False if there is none (or, with ``hook`` given, no longer that one)."""
    key, there = hook_of(target, kind) or (0, None)
    if there is None or (hook is not None and there is not hook):
        return False
    # the keys are those of the handle that register_forward_hook gave; a copied model has no handle
    del hooks_on(target, kind)[key]
    if kind is InputHook:
        target._forward_pre_hooks_with_kwargs.pop(key, None)
    if there.layer(target) is not None:
        delattr(target.get_submodule(".".join(there.path[:-1])), there.path[-1])
    return True


def _host(target: nn.Module) -> tuple[tuple[str, ...], nn.Module]:
    """The module that will hold the layer: one that cannot take it for one of its own parts and run it.

    A leaf's forward calls no children, a container's may call all of them. Of the leaves inside a target, one with a
    weight matrix comes first: norms are often put into eval mode alone.
    """
    if is_leaf(target):
        return (), target
    leaves = [(tuple(name.split(".")), module) for name, module in target.named_modules() if name and is_leaf(module)]
    leaves = [(path, module) for path, module in leaves if not any(map(_is_guest, path))]
    if not leaves:
        raise FeatmaskError(f"{type(target).__name__} holds no module to put the layer in; choose a neighbouring one")
    weighted = [leaf for leaf in leaves if any(weight.dim() > 1 for weight in leaf[1].parameters(recurse=False))]
    return (weighted or leaves)[0]


def is_leaf(module: nn.Module) -> bool:
    """Whether the module holds no others, attached layers and parametrisations aside, and is no container."""
    if isinstance(module, (*_CONTAINERS, torch.jit.ScriptModule)):
        return False  # also when empty: an empty nn.Sequential would run its first child
    return all(_is_guest(name) for name, _ in module.named_children())


def _is_guest(name: str) -> bool:
    return name == "parametrizations" or name.startswith(CHILD)
