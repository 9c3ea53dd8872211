"""Sizes as people write them: ``8/255`` of the pixel range, ``20%`` of an image's side. Fractions stay fractions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from ..errors import FeatmaskError


def fraction(text: str) -> Fraction:
    """``8/255``, ``0.5``, and ``0.5/255`` as tables write it, which Python's own reading refuses.

    Raises:
        ValueError, ZeroDivisionError: no number.
    """
    top, slash, bottom = text.partition("/")
    return Fraction(top) / Fraction(bottom) if slash else Fraction(top)


def extent(text: str) -> Fraction:
    """A radius, or a side in percent: ``20%``.

    Raises:
        ValueError, ZeroDivisionError: no number.
    """
    return Fraction(text.removesuffix("%")) / 100 if text.endswith("%") else fraction(text)


def number(read: Callable[[str], Fraction], value: Any) -> Fraction:
    """A value as ``fraction`` or ``extent`` reads it; -1, which is no size, for what is no number."""
    try:
        return read(str(value))
    except (ValueError, ZeroDivisionError):
        return Fraction(-1)


def radius(value: Any, key: str = "eps") -> Fraction:
    """A radius that was written as ``8/255``, ``0.5/255`` or ``0.5``.

    Raises:
        FeatmaskError: not a number of 0 or more.
    """
    size = number(fraction, value)
    if size < 0:
        raise FeatmaskError(f"{key}: expected a radius such as 8/255 or 0.5, got {value!r}")
    return size


def share(value: Any) -> Fraction:
    """A side that was written as ``20%`` or ``1/5``.

    Raises:
        FeatmaskError: not a share above 0 to 1.
    """
    side = number(extent, value)
    if not 0 < side <= 1:
        raise FeatmaskError(f"size: expected a share of the image's side such as 20%, got {value!r}")
    return side
