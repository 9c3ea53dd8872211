"""A matplotlib figure that is drawn on by the pixel: images as they are, frames around them, signs as lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import require

INK, SOFT, PAPER = "#1a1d21", "#57606a", "#ffffff"
#: Okabe and Ito's green and vermilion, which colour-blind readers tell apart.
RIGHT, WRONG = "#009E73", "#D55E00"
#: A power of two: the canvas is as many pixels wide as was computed, without rounding.
DPI = 128
FRAME = 5
#: Width of a character on average, as a share of the height of type.
CHARACTER = 0.56
#: What a user's own settings would change.
STYLE = {"text.usetex": False, "font.family": "sans-serif", "savefig.bbox": None, "axes.unicode_minus": True}


class Canvas:
    """A figure whose units are pixels, counted from the top left corner."""

    def __init__(self, width: int, height: int) -> None:
        figure = require("matplotlib.figure", "report").Figure
        self.figure, self.height = figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAPER), height
        self.axes = self.figure.add_axes((0, 0, 1, 1), frameon=False)
        self.axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])

    def image(self, x: int, y: int, pixels: npt.NDArray[np.uint8]) -> None:
        """Pixel by pixel, (x, y) being its top left corner."""
        self.figure.figimage(pixels, x, self.height - y - len(pixels), origin="upper")

    def frame(self, x: int, y: int, width: int, height: int, right: bool) -> None:
        """Around an image, not over it."""
        patches = require("matplotlib.patches", "report")
        colour = RIGHT if right else WRONG
        for left, top, across, down in (
            (x - FRAME, y - FRAME, width + 2 * FRAME, FRAME),
            (x - FRAME, y + height, width + 2 * FRAME, FRAME),
            (x - FRAME, y, FRAME, height),
            (x + width, y, FRAME, height),
        ):
            self.axes.add_patch(patches.Rectangle((left, top), across, down, color=colour, lw=0, antialiased=False))

    def sign(self, x: float, y: float, right: bool) -> None:
        """A tick or a cross of 12 pixels, as lines: a font may lack them."""
        strokes = [((-7, -2, 6), (0, 5, -6))] if right else [((-5, 5), (-5, 5)), ((-5, 5), (5, -5))]
        colour, ends = RIGHT if right else WRONG, {"solid_capstyle": "round", "solid_joinstyle": "round"}
        for across, down in strokes:
            xs, ys = [x + step for step in across], [y + step for step in down]
            self.axes.plot(xs, ys, color=colour, lw=3.2 * 72 / DPI, **ends)

    def save(self, path: Path) -> None:
        """As PNG; equal drawings give equal bytes under one version of matplotlib."""
        self.figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})

    def text(self, x: float, y: float, text: str, size: float, colour: str = INK, **options: Any) -> None:
        """Text as it is, ``size`` in pixels: a dollar sign begins no mathematics."""
        points = size * 72 / DPI
        self.axes.text(x, y, text, fontsize=points, color=colour, va="center", parse_math=False, **options)


def cut(text: str, width: int, size: float) -> str:
    """One line that stays within a width, by the average character."""
    text = " ".join(text.split())
    longest = max(4, int(width / (CHARACTER * size)))
    return text if len(text) <= longest else text[: longest - 1] + "…"
