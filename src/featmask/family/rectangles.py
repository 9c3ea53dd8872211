"""The expected area of random-erasing rectangles, for the members that draw such."""

import numpy as np

from ..masking.options import Range
from .base import Shape

#: Points for each of area and ratio; the sum is then exact to about a thousandth.
GRID = 400


def expected_area(area: Range, ratio: Range, shape: Shape, *, tries: int, log: bool) -> float:
    """The mean share of a plane that a rectangle covers, by the midpoint rule.

    Args:
        area: range of its share of the plane; uniform.
        ratio: range of height / width; uniform, or its logarithm is (``log``).
        shape: (C, H, W). Sizes are rounded, and redrawn until the rectangle is smaller than the map in both directions.
        tries: how often; none is drawn if all of them fail.
        log: see ``ratio``.
    """
    _, height, width = shape
    middles = (np.arange(GRID) + 0.5) / GRID
    low, high = np.log(ratio) if log else ratio
    ratios = low + (high - low) * middles
    pixels = (area[0] + (area[1] - area[0]) * middles)[:, None] * (height * width)
    ratios = np.exp(ratios) if log else ratios
    tall, wide = np.rint(np.sqrt(pixels * ratios)), np.rint(np.sqrt(pixels / ratios))
    fits = (tall < height) & (wide < width)
    failed = 1 - fits.mean()
    once = float((tall * wide * fits).mean()) / (height * width)
    return once * float(sum(failed**n for n in range(tries)))
