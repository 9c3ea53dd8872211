"""A sheet of small images in rows and columns, as PNG: titles, labels, captions, and ticks and crosses."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import FeatmaskError, require
from ..utils.files import replacing
from .canvas import CHARACTER, FRAME, INK, SOFT, STYLE, Canvas, cut

Pixels = npt.NDArray[np.uint8]

#: The longer side of a cell's image, in pixels.
TALL = 144
#: Sizes of type, larger than on a page, which shows a sheet reduced; and the width of a bold character.
TEXT, TITLE, BOLD = 15.0, 17.0, 0.65
MARGIN, GAP, BREAK, LINE, BETWEEN = 20, 14, 30, 20, 18
#: Room of a tick or cross; captions make a column at most so wide, and are cut there.
SIGN, WIDEST = 20, 180
#: Images below so many pixels are enlarged as squares, since smoothing would invent what is not there; they all have
#: one size if a whole multiple comes so close to ``TALL``.
PIXELLED, CLOSE = 64, 0.9
#: Pixels of a side beyond which no viewer is of use.
LARGEST = 30_000


@dataclass(frozen=True)
class Cell:
    """One image of a sheet, ``pixels`` (H, W, 3) from 0 to 255 as :func:`enlarged` makes them, with a few short lines
    below it; where ``right`` is not None, it is framed, with a tick or a cross before the caption.
    """

    pixels: Pixels
    caption: str = ""
    right: bool | None = None


@dataclass(frozen=True)
class Row:
    """Some images beside each other, from the left; left of them a few short lines, above them one line."""

    cells: Sequence[Cell]
    label: str = ""
    title: str = ""


@dataclass(frozen=True)
class _Layout:
    """Where things stand, in pixels."""

    rows: Sequence[Row]
    groups: Mapping[int, str]
    note: str

    @cached_property
    def cells(self) -> list[Cell]:
        return [cell for row in self.rows for cell in row.cells]

    @cached_property
    def frame(self) -> int:
        """Room around every image."""
        return FRAME if any(cell.right is not None for cell in self.cells) else 0

    @cached_property
    def tall(self) -> int:
        """Height of the images and their frames."""
        return max((len(cell.pixels) for cell in self.cells), default=0) + 2 * self.frame

    @cached_property
    def wide(self) -> int:
        """Width of a column: of its images, or of the captions below narrow ones."""
        images = max((cell.pixels.shape[1] for cell in self.cells), default=TALL) + 2 * self.frame
        captions = [_width(line) + (SIGN if cell.right is not None else 0) for cell in self.cells
                    for line in cell.caption.splitlines()]  # fmt: skip
        return max(images, min(WIDEST, max(captions, default=0)))

    @cached_property
    def columns(self) -> int:
        return max(*(len(row.cells) for row in self.rows), 1)

    @cached_property
    def labels(self) -> int:
        """Width of what stands left of the images."""
        lines = [line for row in self.rows for line in row.label.splitlines()]
        return max(_width(line, BOLD) for line in lines) + GAP if lines else 0

    def left(self, column: int) -> int:
        breaks = sum(1 for start in self.groups if 0 < start <= column)
        return MARGIN + self.labels + column * (self.wide + GAP) + breaks * BREAK

    @cached_property
    def headings(self) -> dict[int, list[str]]:
        """The lines above each group of columns: no wider than it, or the sheet has room."""
        rooms = {a: self.left(b) - self.left(a) for a, b in pairwise([*sorted(self.groups), self.columns])}
        letters = {start: max(8, int(room / (CHARACTER * TEXT))) for start, room in rooms.items()}
        return {start: textwrap.wrap(self.groups[start], count) for start, count in letters.items()}

    @cached_property
    def closing(self) -> list[str]:
        """The lines of the note."""
        return textwrap.wrap(self.note, max(20, int((self.width - 2 * MARGIN) / (CHARACTER * TEXT))))

    @cached_property
    def top(self) -> int:
        lines = max(map(len, self.headings.values()), default=0)
        return MARGIN + (lines * LINE + 6 if lines else 0)

    @cached_property
    def width(self) -> int:
        # a title is not cut where there are few images below it
        titles = max((_width(row.title, BOLD * TITLE / TEXT) for row in self.rows), default=0)
        return max(self.left(self.columns) - GAP, MARGIN + titles) + MARGIN

    def height(self, row: Row) -> int:
        """Of a row, without the gap below it."""
        lines = max((len(cell.caption.splitlines()) for cell in row.cells), default=0)
        images = self.tall if row.cells else 0
        return (LINE + 10 if row.title else 0) + images + (4 + lines * LINE if lines else 0)

    @cached_property
    def down(self) -> int:
        rows = sum(self.height(row) + BETWEEN for row in self.rows)
        return self.top + rows - BETWEEN + len(self.closing) * LINE + MARGIN


def _width(text: str, factor: float = CHARACTER) -> int:
    return math.ceil(len(text) * factor * TEXT)


def enlarged(pixels: npt.NDArray[np.generic], tall: int = TALL) -> Pixels:
    """An image (H, W), (H, W, 1) or (H, W, 3), of 0 to 255 or of floats in [0, 1], as a cell shows it: (h, w, 3)."""
    levels = pixels if pixels.dtype == np.uint8 else np.round(255 * np.clip(pixels.astype(np.float64), 0, 1))
    image = levels.astype(np.uint8)
    image = image[:, :, None] if image.ndim == 2 else image
    image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    longer = max(image.shape[:2])
    factor = tall / longer
    if tall // longer * longer >= CLOSE * tall:
        factor = tall // longer
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    if longer < PIXELLED:
        return image[nearest(len(image), height)][:, nearest(image.shape[1], width)]
    library = require("PIL.Image", "report")
    smooth = library.fromarray(np.ascontiguousarray(image)).resize((width, height), library.Resampling.LANCZOS)
    return np.asarray(smooth, dtype=np.uint8)


def nearest(size: int, shown: int) -> npt.NDArray[np.int64]:
    """The position, of ``size``, that each of ``shown`` pixels falls into."""
    return ((2 * np.arange(shown, dtype=np.int64) + 1) * size) // (2 * shown)


def save_sheet(
    path: str | Path, rows: Sequence[Row], groups: Mapping[int, str] | None = None, *, note: str = ""
) -> None:
    """Draw the rows; equal ones give equal bytes under one version of matplotlib.

    Args:
        path: written beside and renamed.
        rows: from the top down; one without cells shows its title alone.
        groups: column -> heading of the columns that begin there, which a gap sets apart.
        note: at the bottom: what the signs mean, and what the images are if they are no photographs.

    Raises:
        FeatmaskError: no rows, or more images than a picture holds.
        MissingExtraError: matplotlib is not installed.
    """
    if not rows:
        raise FeatmaskError("expected at least one row of images, got none")
    drawing = require("matplotlib", "report")
    layout = _Layout(rows, groups or {}, note)
    if max(layout.width, layout.down) > LARGEST:
        raise FeatmaskError(
            f"{len(rows)} rows of up to {layout.columns} images make a picture of {layout.width} x {layout.down} "
            f"pixels, more than {LARGEST} a side; draw fewer rows or images"
        )
    with drawing.rc_context(STYLE), replacing(path) as beside:
        canvas = Canvas(layout.width, layout.down)
        for start, lines in layout.headings.items():
            for number, line in enumerate(lines):
                canvas.text(layout.left(start), MARGIN + (number + 0.5) * LINE, line, TEXT, SOFT)
        top = layout.top
        for row in rows:
            _draw_row(canvas, layout, row, top)
            top += layout.height(row) + BETWEEN
        for number, line in enumerate(layout.closing):
            canvas.text(MARGIN, top - BETWEEN / 2 + (number + 0.5) * LINE, line, TEXT, SOFT)
        canvas.save(beside)


def _draw_row(canvas: Canvas, layout: _Layout, row: Row, top: int) -> None:
    if row.title:
        canvas.text(MARGIN, top + LINE / 2, row.title, TITLE, fontweight="bold")
        top += LINE + 10
    label = row.label.splitlines()
    for number, line in enumerate(label):
        look = {"fontweight": "bold"} if number == 0 else {"colour": SOFT}
        canvas.text(MARGIN, top + layout.tall / 2 + (number - (len(label) - 1) / 2) * LINE, line, TEXT, **look)
    for column, cell in enumerate(row.cells):
        x, y = layout.left(column) + layout.frame, top + layout.frame
        canvas.image(x, y, cell.pixels)
        if cell.right is not None:
            canvas.frame(x, y, cell.pixels.shape[1], len(cell.pixels), cell.right)
        _draw_caption(canvas, cell, layout.left(column), top + layout.tall + 4, layout.wide)


def _draw_caption(canvas: Canvas, cell: Cell, x: int, y: int, width: int) -> None:
    if cell.right is not None:
        canvas.sign(x + 8, y + LINE / 2, cell.right)
    for number, line in enumerate(cell.caption.splitlines()):
        shift = SIGN if number == 0 and cell.right is not None else 0
        text = cut(line, width - shift + GAP, TEXT)
        canvas.text(x + shift, y + (number + 0.5) * LINE, text, TEXT, INK if number == 0 else SOFT)
