"""One forward that is recorded: which module ran when, on what, and what came out."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import FeatmaskError
from ..utils.eval_mode import evaluating
from .hooks import is_leaf, layers_in

Size = tuple[int, ...]
#: What a caller may give as example: the input tensor, or all positional arguments.
Example = Tensor | Sequence[Any]

_SIZES = (224, 299, 256, 64, 32, 28)
_QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")


@dataclass(frozen=True)
class Call:
    """The first call of one module.

    Attributes:
        name: the module's qualified name.
        kind: its class's name.
        leaf: it holds no other modules, or none with a weight matrix (a norm with its activation).
        conv: it is an ``nn.Conv2d``.
        entering: the shape of its first argument, if a tensor.
        shape: the shape of its output, if a tensor.
        returned: the type of its output, for messages.
        token: equal for two calls exactly if they returned the same tensor.
    """

    name: str
    kind: str
    leaf: bool
    conv: bool
    entering: Size | None
    shape: Size | None
    returned: str
    token: int


@dataclass
class Trace:
    """All calls of one forward, in the order in which they ended.

    Attributes:
        input: the shape of the model's input, N x C x H x W.
        calls: name -> first call; the root has the name "".
        readers: names of the convolutions that read the very tensor that the first one read.
    """

    input: Size = ()
    calls: dict[str, Call] = field(default_factory=dict)
    readers: list[str] = field(default_factory=list)


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside torch.compile, DataParallel, DistributedDataParallel and AveragedModel.

    Raises:
        FeatmaskError: not a module, scripted, quantised, or with lazy layers that have no weights yet.
    """
    if not isinstance(model, nn.Module):
        raise FeatmaskError(f"expected a model (nn.Module), got {type(model).__name__}")
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel, torch.optim.swa_utils.AveragedModel)
    while True:
        # by attribute: importing the class would import the compiler, which takes seconds
        inner = getattr(model, "_orig_mod", None) or (model.module if isinstance(model, wrappers) else None)
        if not isinstance(inner, nn.Module):
            break
        model = inner
    if isinstance(model, torch.jit.ScriptModule):
        raise FeatmaskError("the model is scripted (torch.jit), where hooks have no effect; attach before scripting")
    if any(type(module).__module__.startswith(_QUANTISED) for module in model.modules()):
        raise FeatmaskError("the model is quantised: its layers pass integers on; attach and train before quantising")
    if any(nn.parameter.is_lazy(value) for value in (*model.parameters(), *model.buffers())):
        raise FeatmaskError("the model has lazy layers without weights; run one forward of your data, then attach")
    return model


def probe(model: nn.Module, example: Example | None = None) -> Trace:
    """Run one forward of an unwrapped model, which is not changed, and record it; without an example guess a size.

    Raises:
        FeatmaskError: the example, or every guess, fails.
    """
    if example is not None:
        args = (example,) if isinstance(example, Tensor) else tuple(example)
        try:
            return _run(model, args)
        except FeatmaskError:
            raise
        except Exception as error:
            shapes = ", ".join(str(tuple(a.shape)) if isinstance(a, Tensor) else type(a).__name__ for a in args)
            raise FeatmaskError(
                f"the model does not run on the example ({shapes}): {_first_line(error)}; "
                "pass example= as one of its ordinary batches, on its device and in its dtype"
            ) from error
    device, dtype = _device_dtype(model)
    failures: list[str] = []
    for size in _guesses(model):
        for samples in (1, 2):
            try:
                return _run(model, (torch.zeros(samples, *size, device=device, dtype=dtype),))
            except FeatmaskError:
                raise
            except Exception as error:
                failures.append(f"{'x'.join(map(str, size))}: {_first_line(error)}")
                if "more than 1 value per channel" not in str(error):
                    break  # only batch norm without running statistics needs a second sample
    raise FeatmaskError(
        "the model ran on none of the guessed inputs; pass example=, one of its ordinary batches. "
        f"Tried {'; '.join(failures[:3])}" + (f"; and {len(failures) - 3} more" if len(failures) > 3 else "")
    )


def _run(model: nn.Module, args: tuple[Any, ...]) -> Trace:
    """Record in eval mode, without gradients and compiler; training flags and random state come back."""
    trace = Trace()
    first_read: list[Tensor] = []
    # a tensor's address may be reused once it is freed: a weak reference tells whether it is still that tensor
    seen: dict[int, tuple[weakref.ref[Tensor], int]] = {}

    def token(output: Any) -> int:
        known = seen.get(id(output))
        if isinstance(output, Tensor):
            if known is not None and known[0]() is output:
                return known[1]
            seen[id(output)] = (weakref.ref(output), len(trace.calls))
        return len(trace.calls)

    def hook(name: str, module: nn.Module, given: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        read = next((value for value in (*given, *kwargs.values()) if isinstance(value, Tensor)), None)
        conv = isinstance(module, nn.Conv2d)
        if conv and read is not None:
            if not first_read:
                first_read.append(read)
            if read is first_read[0] and name not in trace.readers:
                trace.readers.append(name)
        if name not in trace.calls:
            trace.calls[name] = Call(
                name=name,
                kind=type(module).__name__,
                leaf=is_leaf(module) or not any(weight.dim() > 1 for weight in module.parameters()),
                conv=conv,
                entering=None if read is None else tuple(read.shape),
                shape=tuple(output.shape) if isinstance(output, Tensor) else None,
                returned=type(output).__name__,
                token=token(output),
            )

    guests = {part for _, layer in layers_in(model) for part in layer.modules()}
    device = _device_dtype(model)[0]
    devices = [device] if device.type == "cuda" else []
    eager = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    with torch.random.fork_rng(devices), torch.no_grad(), eager, evaluating(model), ExitStack() as stack:
        for name, module in model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule) and module not in guests:
                handle = module.register_forward_hook(partial(hook, name), with_kwargs=True)
                stack.callback(handle.remove)
        model(*args)
    images = [tuple(arg.shape) for arg in args if isinstance(arg, Tensor) and arg.dim() == 4]
    if not images and first_read:
        images = [tuple(first_read[0].shape)]  # lists of images and the like: what the first convolution read
    if not images or len(images[0]) != 4:
        raise FeatmaskError("expected a model of N x C x H x W images; no such tensor went in. Pass example=")
    trace.input = images[0]
    return trace


def _device_dtype(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    values = (value for value in (*model.parameters(), *model.buffers()) if value.is_floating_point())
    first = next(values, torch.empty(0, device="cpu"))
    return first.device, first.dtype


def _guesses(model: nn.Module) -> list[Size]:
    """Likely C x H x W, best first."""
    sizes: list[tuple[int, int]] = []
    channels: list[int] = []
    for module in model.modules():
        for value in (getattr(module, "img_size", None), getattr(module, "image_size", None)):
            pair = (value, value) if isinstance(value, int) else value
            if isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(side, int) for side in pair):
                sizes.append(pair)
        if isinstance(module, nn.Conv2d) and not channels:
            channels.append(module.in_channels)
    for config in (getattr(model, "pretrained_cfg", None), getattr(model, "default_cfg", None)):
        size = config.get("input_size") if isinstance(config, dict) else None
        if size is not None and len(size) == 3:
            channels.append(size[0])
            sizes.append((size[1], size[2]))
    sizes = [*sizes[:1], *sizes[-1:], *((side, side) for side in _SIZES)]
    return list(dict.fromkeys((count, *size) for size in sizes for count in (*channels, 3, 1)))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"
