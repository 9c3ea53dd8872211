"""Writing a plan into a tensor: exact, differentiable, and no dearer than the copy it needs.

The function is linear in its input, so its derivative of any order is itself with the fill zero. Only the plan's
coordinates are kept for the backward pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import FeatmaskError
from .options import BITS, Fill
from .plan import Plan


def overwrite(x: torch.Tensor, plan: Plan, fill: Fill, inplace: bool = False) -> torch.Tensor:
    """Return ``x`` (N, C, H, W) with the plan's boxes overwritten; the gradient inside them is zero.

    Raises:
        FeatmaskError: ``inplace`` where writing would corrupt what others read (a leaf that requires a gradient, an
            expanded tensor). Autograd itself raises for outputs that their own backward pass needs, such as ReLU's.
    """
    if inplace:
        inplace = not inside_transform()
        base = x if x._base is None else x._base  # autograd, too, refuses a view of a leaf, but after the write
        if base.requires_grad and base.is_leaf and torch.is_grad_enabled():
            raise FeatmaskError("inplace=True cannot overwrite a leaf tensor that requires a gradient; leave it False")
        if any(step == 0 and size > 1 for step, size in zip(x.stride(), x.shape, strict=True)):
            raise FeatmaskError("inplace=True cannot overwrite an expanded tensor, whose values share memory")
    out: torch.Tensor = _Overwrite.apply(x, plan.corners, plan, fill, inplace)
    return out


class _Overwrite(torch.autograd.Function):
    """The plan's corners are an argument of their own: transforms must see every tensor that depends on their input."""

    @staticmethod
    def forward(x: torch.Tensor, corners: torch.Tensor | None, plan: Plan, fill: Fill, inplace: bool) -> torch.Tensor:
        out = x if inplace else x.clone()
        plan = replace(plan, corners=corners)
        if x.device.type == "cpu" and not _is_stack(x):
            _write_slices(out, x, plan, fill)
        else:
            write_planes(out, plan, fill)
        return out

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[torch.Tensor, torch.Tensor | None, Plan, Fill, bool], output: torch.Tensor
    ) -> None:
        x, corners, ctx.plan, _, ctx.inplace = inputs
        ctx.save_for_backward(corners)
        ctx.save_for_forward(corners)
        if ctx.inplace:  # also bumps the version counter, so that a wrong use is noticed: NumPy does not
            ctx.mark_dirty(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        # Always a copy: the incoming gradient may be shared with other branches, hooks and callers.
        return _Overwrite.apply(grads[0], *ctx.saved_tensors, ctx.plan, 0.0, False), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = _Overwrite.apply(tangents[0], *ctx.saved_tensors, ctx.plan, 0.0, ctx.inplace)
        return out

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        x: torch.Tensor,
        corners: torch.Tensor | None,
        plan: Plan,
        fill: Fill,
        inplace: bool,
    ) -> tuple[torch.Tensor, int | None]:
        if in_dims[:2] == (None, None):
            return _Overwrite.apply(x, corners, plan, fill, False), None
        parts, places = (
            [value] * info.batch_size if dim is None or value is None else value.unbind(dim)
            for value, dim in zip((x, corners), in_dims[:2], strict=True)
        )
        written = [_Overwrite.apply(*both, plan, fill, False) for both in zip(parts, places, strict=True)]
        return torch.stack(written), 0


def _is_stack(x: torch.Tensor) -> bool:
    """Whether NumPy cannot look into x: a stack of gradients (is_grads_batched, vectorised Jacobians)."""
    functorch = getattr(torch._C, "_functorch", None)
    return bool(getattr(functorch, "is_legacy_batchedtensor", lambda tensor: False)(x))


def inside_transform() -> bool:
    """Whether a torch.func transform is active; there a copy is made, since those cannot follow NumPy's writes."""
    return bool(getattr(torch._C, "_are_functorch_transforms_active", lambda: False)())


def _write_slices(out: torch.Tensor, x: torch.Tensor, plan: Plan, fill: Fill) -> None:
    """Fill the boxes through NumPy's view of a CPU tensor: the cheapest strided write there is."""
    values = _values(x, plan, fill)
    target = out.detach()
    if target.dtype == torch.bfloat16:  # NumPy has no such type; the bits are the same
        target, values = target.view(torch.int16), values.view(torch.int16)
    array, numbers = target.numpy(), values.numpy()
    if fill == "noise":
        start = 0
        for n, c, top, bottom, left, right in plan.placed().tolist():
            box = array[n, c, top:bottom, left:right]
            box[...] = numbers[start : start + box.size].reshape(box.shape)
            start += box.size
        return
    # .tolist() would turn float16 and bf16's bits into Python numbers; items of the array keep their type
    for (n, c, top, bottom, left, right), value in zip(plan.placed().tolist(), numbers, strict=True):
        array[n, c, top:bottom, left:right] = value


def _values(x: torch.Tensor, plan: Plan, fill: Fill) -> torch.Tensor:
    """The fill of each box (K,), or for noise of each value in it (all boxes flattened in order), in x's dtype."""
    if fill == "uniform":
        return torch.from_numpy(on_grid(plan.uniform, x.dtype)).to(x.dtype)
    if fill == "mean":
        return plane_statistics(planes_of(x.detach(), plan))[0].to(x.dtype)
    if fill == "noise":
        mean, std = plane_statistics(planes_of(x.detach(), plan))
        sizes = torch.from_numpy((plan.boxes[:, 3] - plan.boxes[:, 2]) * (plan.boxes[:, 5] - plan.boxes[:, 4]))
        noise = np.random.Generator(np.random.SFC64(plan.seed)).standard_normal(int(sizes.sum()), np.float32)
        scaled = torch.from_numpy(noise) * std.repeat_interleave(sizes) + mean.repeat_interleave(sizes)
        return scaled.to(x.dtype)
    return torch.full((len(plan),), 0.0 if fill == "zero" else float(fill), dtype=x.dtype, device="cpu")


def write_planes(out: torch.Tensor, plan: Plan, fill: Fill) -> None:
    """Fill the boxes on any device, from one asynchronous copy of the plan: gather planes, select, put back.

    The host never waits for the device: every shape is known to the host, and nothing is read back.
    """
    turns = plan.rounds()
    # float64 holds every coordinate and every fill exactly; a box takes 56 bytes
    packed = np.concatenate([plan.boxes, on_grid(plan.uniform, out.dtype)[:, None]], axis=1, dtype=np.float64)
    host = torch.from_numpy(packed[np.concatenate(turns)])
    # MPS has no float64; float32 holds coordinates up to 2**24
    table = send(host.float() if out.device.type == "mps" else host, out.device)
    if plan.corners is not None:  # one box per plane, so that the one round is the boxes' own order
        table[:, 2:6:2], table[:, 3:6:2] = plan.corners, plan.corners + (table[:, 3:6:2] - table[:, 2:6:2])
    rows = torch.arange(out.shape[2], device=out.device)
    cols = torch.arange(out.shape[3], device=out.device)
    for part in torch.split(table, [len(turn) for turn in turns]):
        n, c = part[:, 0].long(), part[:, 1].long()
        planes = out[n, c]
        top, bottom, left, right = (part[:, i, None] for i in range(2, 6))
        inside = ((rows >= top) & (rows < bottom))[:, :, None] & ((cols >= left) & (cols < right))[:, None, :]
        out[n, c] = torch.where(inside, _device_fill(planes, part[:, 6], plan.seed, fill), planes)


def send(host: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on the host, on its way to ``device``: nothing waits for it to arrive."""
    return (host.pin_memory() if device.type == "cuda" else host).to(device, non_blocking=True)


def _device_fill(planes: torch.Tensor, uniform: torch.Tensor, seed: int, fill: Fill) -> torch.Tensor:
    if fill == "uniform":
        return uniform.to(planes.dtype)[:, None, None]
    if fill == "mean":
        return plane_statistics(planes)[0].to(planes.dtype)[:, None, None]
    if fill == "noise":
        mean, std = plane_statistics(planes)
        generator = torch.Generator(planes.device).manual_seed(seed)
        noise = torch.randn(planes.shape, device=planes.device, generator=generator)
        return (noise * std[:, None, None] + mean[:, None, None]).to(planes.dtype)
    return torch.full((), 0.0 if fill == "zero" else float(fill), dtype=planes.dtype, device=planes.device)


def planes_of(x: torch.Tensor, plan: Plan) -> torch.Tensor:
    """The plane of each box, (K, H, W)."""
    return x[torch.from_numpy(plan.boxes[:, 0]), torch.from_numpy(plan.boxes[:, 1])]


def plane_statistics(planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (population) over the last two dimensions, in float32 or wider.

    Values that are not finite are left out, so that a fill never spreads a NaN into a plane; 0 where none is finite.
    """
    wide = planes.detach().to(torch.promote_types(planes.dtype, torch.float32))
    finite = wide.isfinite()
    count = finite.sum((-2, -1)).clamp_min(1)
    mean = wide.where(finite, 0).sum((-2, -1)) / count
    deviation = (wide - mean[..., None, None]).where(finite, 0)
    return mean, (deviation.square().sum((-2, -1)) / count).sqrt()


def on_grid(uniform: npt.NDArray[np.float64], dtype: torch.dtype) -> npt.NDArray[np.float64]:
    """Round draws in [0, 1) down to what ``dtype`` can hold: plain rounding of bf16 gives 1.0 in 0.2 % of draws."""
    steps = 2.0 ** BITS[dtype]
    return np.floor(uniform * steps) / steps
