"""L1 and L2 balls within the box [0, 1]: projections, steps, a random start (Croce and Hein 2021, "Mind the box").

Projecting onto the ball and then onto the box leaves a part of the radius unused: much in L1, where few pixels move far
and the box binds at most of them, less in L2. Here both hold at once.
"""

from __future__ import annotations

import torch

from .draws import Noise

_TINY = 1e-30
_HAIR = 2.5e-7
#: Iterations of Newton's method, which stops by itself once no further pixel meets the box; few are ever needed.
_NEWTON = 6


def project_l1(moved: torch.Tensor, origin: torch.Tensor, eps: float | torch.Tensor) -> torch.Tensor:
    """The nearest pixels with ``|pixels - origin|_1 <= eps`` and within [0, 1].

    With u = moved - origin and c the room that the box leaves in u's direction, the nearest change is
    ``sign(u) * clamp(|u| - s, 0, c)`` for the smallest s >= 0 whose change is short enough. Its length falls
    piecewise linearly in s, with a bend at each |u| and each |u| - c: they are sorted, and s is interpolated.
    """
    shape, radius = moved.shape, torch.as_tensor(eps, device=moved.device).expand(len(moved), 1, 1, 1)
    clean, wish = (_wide(part).flatten(1) for part in (origin, moved))
    change = wish - clean
    size, room = change.abs(), torch.where(change > 0, 1 - clean, clean)
    bound = _wide(radius).reshape(-1, 1)
    if bound.dtype == torch.float32:  # where there is nothing wider, rounding must not leave the ball
        bound = bound * (1 - 1e-6)
    near = torch.minimum(size, room)
    long = near.sum(1) > bound[:, 0]
    if bool(long.any()):
        excess = _threshold(size[long], room[long], bound[long])
        near[long] = torch.minimum((size[long] - excess).clamp_min(0), room[long])
    # rounded towards the origin: thousands of pixels that round outwards would leave the ball
    pixels = torch.addcmul(clean, change.sign(), near).to(moved.dtype)
    pixels = torch.where(
        (_wide(pixels) - clean).abs() > near, torch.nextafter(pixels, origin.flatten(1)), pixels
    ).clamp_(0, 1)
    return pixels.view(shape).to(memory_format=_format(moved))


def project_l2(moved: torch.Tensor, origin: torch.Tensor, eps: float | torch.Tensor) -> torch.Tensor:
    """The nearest pixels with ``|pixels - origin|_2 <= eps`` and within [0, 1].

    With u and c as in ``project_l1`` the nearest change is ``sign(u) * min(q |u|, c)`` for the largest q <= 1 whose
    change is short enough. The squared length is concave in q^2, so Newton's method comes from below and every
    iterate is within the ball.
    """
    change = moved - origin
    size, room = change.abs(), torch.where(change > 0, 1 - origin, origin)
    # a hair inside: the sum and the norm are rounded
    square = (torch.as_tensor(eps, device=moved.device, dtype=moved.dtype) * (1 - _HAIR)).square()
    share = (square.sqrt() / _sum(size.square()).sqrt().clamp_min(_TINY)).clamp_max(1)
    for _ in range(_NEWTON):
        stuck = size * share > room
        if not bool(stuck.any()):
            break
        left = square - _sum(torch.where(stuck, room, 0).square())
        free = _sum(torch.where(stuck, 0, size).square())
        share = torch.maximum(share, (left.clamp_min(0) / free.clamp_min(_TINY)).sqrt().clamp_max(1))
    return (origin + change.sign() * torch.minimum(size * share, room)).clamp_(0, 1)


def _threshold(size: torch.Tensor, room: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    """s >= 0 with sum of clamp(size - s, 0, room) = bound, (N, 1); at s = 0 the sum is above the bound."""
    bends = torch.cat([size, (size - room).clamp_min(0), torch.zeros_like(bound)], 1)
    slopes = torch.cat([torch.ones_like(size), -torch.ones_like(room), torch.zeros_like(bound)], 1)
    bends, order = bends.sort(dim=1, descending=True)
    slopes = slopes.gather(1, order).cumsum(1)
    lengths = torch.zeros_like(bends)
    lengths[:, 1:] = ((bends[:, :-1] - bends[:, 1:]) * slopes[:, :-1]).cumsum(1)
    # the first bend at which the sum has passed the bound; s lies between it and the one before
    place = (lengths < bound).sum(1, keepdim=True).clamp(1, bends.shape[1] - 1)
    slope = slopes.gather(1, place - 1).clamp_min(1)
    over = lengths.gather(1, place) - bound
    return (bends.gather(1, place) + over / slope).clamp_min(0)


def steepest_l1(
    gradient: torch.Tensor, now: torch.Tensor, length: float | torch.Tensor, pixels: float | torch.Tensor = 1
) -> torch.Tensor:
    """The change of L1 norm ``length`` that climbs most, if no pixel takes more than its share; the box counts.

    The pixels with the largest gradients move first, and what the box takes from their moves goes to the next. The
    change itself goes past the box, and is ``length`` long once clipped: else a projection that shortens all pixels
    would bring back those that ought to lie on the box. With ``pixels = 1`` the clipped change is the steepest within
    the box (Croce and Hein 2021, section 3); larger ones spread it, which climbs higher where the gradient itself
    changes (Tramer and Boneh 2019). At least so many ``pixels`` share the step, and one whose gradient is zero stays
    where it is.
    """
    shape, slope, clean = gradient.shape, gradient.flatten(1), now.flatten(1)
    total = torch.as_tensor(length, device=now.device, dtype=now.dtype).expand(len(now), 1, 1, 1).reshape(-1, 1)
    share = torch.as_tensor(pixels, device=now.device, dtype=now.dtype).expand(len(now), 1, 1, 1).reshape(-1, 1)
    share = total / share.clamp_min(1)
    room = torch.where(slope > 0, 1 - clean, clean) * (slope != 0)
    order = slope.abs().argsort(dim=1, descending=True)
    counted = torch.minimum(room.gather(1, order), share)
    left = (total - (counted.cumsum(1) - counted)).clamp_min(0)
    step = torch.zeros_like(slope).scatter_(1, order, torch.minimum(left, share)) * slope.sign()
    return step.view(shape).to(memory_format=_format(now))


def largest_l1(gradient: torch.Tensor, now: torch.Tensor, length: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Equal moves, ``length`` in all, of the pixels with the largest gradients: APGD's step in L1.

    Pixels that the box holds where they are do not count. A move that the box cuts is not made up for elsewhere:
    APGD takes the number of pixels that have moved for its own measure of how many should. ``pixels`` move, at least
    one; ``length`` and ``pixels`` are (N, 1, 1, 1). A pixel whose gradient is zero stays where it is.
    """
    held = ((gradient < 0) & (now <= 0)) | ((gradient > 0) & (now >= 1))
    slope = torch.where(held, 0, gradient)
    size = slope.abs().flatten(1)
    last = pixels.reshape(-1, 1).long().clamp(1, size.shape[1]) - 1
    least = size.sort(dim=1, descending=True).values.gather(1, last)[:, :, None, None]
    sign = torch.where(slope.abs() >= least, slope.sign(), 0)
    return sign * (length / _sum(sign.abs()).clamp_min(1))


def start_l1(x: torch.Tensor, eps: float | torch.Tensor, noise: Noise) -> torch.Tensor:
    """A change drawn uniformly from the L1 ball: exponential gaps, one more of them than pixels, and random signs."""
    draws = noise.uniform(*x.shape[1:])
    gaps = -torch.log1p(-(2 * draws - 1).abs().clamp_max(1 - 1e-7))
    rest = -torch.log1p(-noise.uniform(1, 1, 1))
    share = gaps / (gaps.flatten(1).sum(1)[:, None, None, None] + rest).clamp_min(_TINY)
    return (share * (2 * draws - 1).sign()).to(x) * eps


def _sum(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(1).sum(1)[:, None, None, None]


def _wide(values: torch.Tensor) -> torch.Tensor:
    """In float64, where the device has it: sums over an image's pixels must be right to 1e-6."""
    return values if values.device.type == "mps" else values.double()


def _format(x: torch.Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
