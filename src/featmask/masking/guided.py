"""Laying a plan's boxes where their planes are strongest.

The sums over a box are taken from running sums of the magnitudes, in whole numbers: those are the same whatever the
order of summation. So a CPU and a GPU choose alike, equal sums are equal to the last bit, and activation checkpointing
finds the same place again, which running sums of floating-point numbers on a GPU do not promise.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from .overwrite import send
from .plan import Plan

#: Values that are searched at once. On a CPU half a MB per step stays in the cache; a GPU wants few, large kernels.
PORTION = {"cpu": 2**16}
LARGE_PORTION = 2**24


def guide(x: torch.Tensor, plan: Plan) -> Plan:
    """The plan with each box where the sum of magnitudes over it is largest in its own plane of ``x`` (N, C, H, W).

    The host never waits for the device: the places stay there, as the plan's ``corners``.
    """
    boxes = send(torch.from_numpy(plan.boxes), x.device)
    portion = max(1, PORTION.get(x.device.type, LARGE_PORTION) // (plan.shape[2] * plan.shape[3]))
    x = x.detach()
    corners = [
        torch.stack(strongest(x[n, c], bottom - top, right - left), 1)
        for n, c, top, bottom, left, right in (part.unbind(1) for part in torch.split(boxes, portion))
    ]
    return replace(plan, corners=torch.cat(corners))


def strongest(planes: torch.Tensor, heights: torch.Tensor, widths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Top and left (K,) of the h x w box with the largest sum of magnitudes in each plane.

    Args:
        planes: (K, H, W); values that are not finite count as 0.
        heights: (K,) h of each plane's box, integers from 1 to H; 0 stands for no box, whose place means nothing.
        widths: (K,) w, alike.

    Returns:
        Integers; of equal sums the first in row-major order.
    """
    count, height, width = planes.shape
    values = _whole(planes)
    sums = values.cumsum(1)
    rows = _ends(heights, height) + torch.arange(count, device=planes.device)[:, None] * height
    # whole rows are cheaper to pick than single values
    below = sums.reshape(count * height, width).index_select(0, rows.flatten()).view(count, height, width)
    columns = below.sub_(sums).add_(values)
    sums = columns.cumsum(2)
    last = _ends(widths, width)[:, None].expand(count, height, width)
    boxes = sums.gather(2, last).sub_(sums).add_(columns)
    # A box cut short by the border lies inside the first one that is not, which comes earlier: it is never chosen.
    best = boxes.flatten(1).argmax(1)
    return best.div(width, rounding_mode="floor"), best % width


def _ends(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Index (K, size) of the last of so many neighbours from each position on, fewer at the border."""
    return (torch.arange(size, device=lengths.device) + lengths[:, None] - 1).clamp(0, size - 1)


def _whole(planes: torch.Tensor) -> torch.Tensor:
    """Magnitudes as whole numbers, in units of a plane's own: as fine as a plane's sum allows in 62 bits.

    On maps of 128 x 64 every float32 is exact that is 2**-24 or more of its plane's largest.
    """
    # MPS has no float64
    wide, most = (torch.float32, 120) if planes.device.type == "mps" else (torch.float64, 1000)
    values = planes.abs().to(wide).nan_to_num_(0.0, 0.0, 0.0)
    bits = 62 - int(planes.shape[1] * planes.shape[2]).bit_length()  # under torch.jit.trace a size is a tensor
    exponent = torch.frexp(values.amax((1, 2), keepdim=True)).exponent
    return values.mul_(torch.exp2((bits - exponent).clamp_max(most).to(wide))).long()
