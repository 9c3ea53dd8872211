"""A picture of ranked lists: the query, and beside it what the gallery answered, right or wrong by sign and colour."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import FeatmaskError, require
from ..utils.files import replacing
from .canvas import CHARACTER, FRAME, HEADING, INK, SMALL, SOFT, STYLE, TEXT, Canvas, cut, wrapped

__all__ = ["RankedList", "Shown", "save_rankings"]

Pixels = npt.NDArray[np.uint8]

#: In pixels of the picture.
MARGIN, GAP, BREAK = 28, 16, 40
TITLE, HEAD, LINE, BETWEEN = 36, 24, 17, 22
#: Small images are shown at the largest whole multiple up to so many pixels of height, large ones are reduced to it.
TALL = 288
#: Captions make a column at most so wide; longer ones are cut.
WIDEST = 208
#: Beyond that no viewer is of use.
LARGEST = 30_000


@dataclass(frozen=True)
class Shown:
    """One image of a list.

    Attributes:
        pixels: (H, W, 3), 0 to 255.
        caption: below the image, at most a few short lines: ``"id 12, camera 3\\n0.42"``.
        right: whether it shows the query's identity; None for no verdict (the query itself, or what is not scored).
    """

    pixels: Pixels
    caption: str
    right: bool | None


@dataclass(frozen=True)
class RankedList:
    """One query and what was found for it.

    Attributes:
        title: what was done: ``"clean"``, ``"after FNA at 5/255"``.
        query: the image that was asked with.
        found: the gallery's answers, best first.
        change: (H, W, 3), what an attack changed, magnified so that it can be seen; shown beside the query.
        change_caption: by how much it was magnified: ``"change x 20"``.
    """

    title: str
    query: Shown
    found: tuple[Shown, ...]
    change: Pixels | None = None
    change_caption: str = "change, magnified"

    @property
    def leading(self) -> list[Shown]:
        """What stands left of the gap."""
        return [self.query] + ([] if self.change is None else [Shown(self.change, self.change_caption, None)])


@dataclass(frozen=True)
class _Layout:
    """Sizes that all lists share, so that ranks stand below each other."""

    width: int
    height: int
    lines: int
    leading: int
    found: int

    def left(self, column: int) -> int:
        """Left edge of a column's images; the query is column 0, the gap follows the leading ones."""
        return MARGIN + FRAME + column * (self.width + 2 * FRAME + GAP) + (BREAK if column >= self.leading else 0)

    @property
    def across(self) -> int:
        return self.left(self.leading + self.found - 1) + self.width + FRAME + MARGIN

    @property
    def row(self) -> int:
        return TITLE + HEAD + 2 * FRAME + self.height + 6 + self.lines * LINE


def save_rankings(lists: Sequence[RankedList], path: str | Path, *, note: str = "") -> None:
    """Draw a row a list as PNG: the query, a gap, then the gallery's images with their ranks.

    A right image has a green frame and a tick, a wrong one a vermilion frame and a cross. Images keep their
    proportions; small ones are enlarged by whole factors.

    Args:
        lists: from the top down.
        path: written beside and renamed.
        note: at the bottom, in small type: the scoring rules, and what the images are if they are no photographs.

    Raises:
        FeatmaskError: no lists, a list without answers, pixels that are no (H, W, 3) of uint8, or more images than a
            picture holds.
        MissingExtraError: matplotlib is not installed.
    """
    lists = list(lists)
    for number, ranked in enumerate(lists):
        _check(number, ranked)
    if not lists:
        raise FeatmaskError("expected at least one ranked list, got none")
    drawing = require("matplotlib", "report")
    layout = _layout(lists)
    closing = [line for text in (_key(lists), note) if text for line in wrapped(text, layout.across - 2 * MARGIN)]
    down = MARGIN + len(lists) * (layout.row + BETWEEN) + len(closing) * LINE + MARGIN // 2
    if max(layout.across, down) > LARGEST:
        raise FeatmaskError(
            f"{len(lists)} lists of up to {layout.found} images make a picture of {layout.across} x {down} pixels, "
            f"more than {LARGEST}; draw fewer lists or images"
        )
    with drawing.rc_context(STYLE), replacing(path) as beside:
        canvas = Canvas(layout.across, down)
        for number, ranked in enumerate(lists):
            _draw_list(canvas, layout, ranked, MARGIN + number * (layout.row + BETWEEN))
        for number, line in enumerate(closing):
            canvas.text(MARGIN, down - MARGIN // 2 - (len(closing) - number - 0.5) * LINE, line, SMALL, SOFT)
        canvas.save(beside)


def _check(number: int, ranked: RankedList) -> None:
    where = f"list {number} ({ranked.title!r})"
    if not ranked.found:
        raise FeatmaskError(f"{where}: expected at least one gallery image, got none")
    named = {"the query": ranked.query.pixels, "the change": ranked.change}
    named |= {f"rank {rank}": shown.pixels for rank, shown in enumerate(ranked.found, start=1)}
    for name, pixels in named.items():
        if pixels is None and name == "the change":
            continue
        kind, shape = getattr(pixels, "dtype", type(pixels).__name__), tuple(getattr(pixels, "shape", ()))
        if not isinstance(pixels, np.ndarray) or kind != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise FeatmaskError(
                f"{where}, {name}: expected pixels (H, W, 3) of uint8, 0 to 255; got {kind} {shape}; "
                "turn floats in [0, 1] with (255 * x).round().astype('uint8')"
            )


def _layout(lists: Sequence[RankedList]) -> _Layout:
    shown = [one for ranked in lists for one in (*ranked.leading, *ranked.found)]
    sizes = [_size(one.pixels) for one in shown]
    lines = [line for one in shown for line in one.caption.splitlines()]
    needed = min(WIDEST, math.ceil(max((len(line) for line in lines), default=0) * CHARACTER * TEXT))
    return _Layout(
        width=max(needed, *(width for _, width in sizes)),
        height=max(height for height, _ in sizes),
        lines=max(len(one.caption.splitlines()) for one in shown),
        leading=max(len(ranked.leading) for ranked in lists),
        found=max(len(ranked.found) for ranked in lists),
    )


def _size(pixels: Pixels) -> tuple[int, int]:
    """Height and width as shown."""
    height, width = pixels.shape[:2]
    if max(height, width) <= TALL:
        factor = TALL // max(height, width)
        return height * factor, width * factor
    share = TALL / max(height, width)
    return max(1, round(height * share)), max(1, round(width * share))


def _resized(pixels: Pixels) -> Pixels:
    image = require("PIL.Image", "report")
    height, width = _size(pixels)
    drawn = image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), image.Resampling.LANCZOS)
    return np.asarray(drawn, dtype=np.uint8)


def _draw_list(canvas: Canvas, layout: _Layout, ranked: RankedList, top: int) -> None:
    title = cut(ranked.title, layout.across - 2 * MARGIN, HEADING)
    canvas.text(MARGIN, top + TITLE / 2 - 4, title, HEADING, fontweight="bold")
    for column, rank, shown in _columns(layout, ranked):
        height, width = _size(shown.pixels)
        x = layout.left(column) + (layout.width - width) // 2
        y = top + TITLE + HEAD + FRAME
        canvas.image(x, y, _resized(shown.pixels))
        right = shown.right if rank else None
        canvas.frame(x, y, width, height, right)
        middle = y - FRAME - HEAD / 2
        label = str(rank) if rank else ("query" if column == 0 else "")
        canvas.text(x - FRAME + 1, middle, label, TEXT, fontweight="bold")
        if right is not None:
            canvas.sign(x + width + FRAME - 9, middle, right)
        below = y + height + FRAME + 6
        for number, line in enumerate(shown.caption.splitlines()):
            text = cut(line, layout.width + 2 * FRAME, TEXT)
            canvas.text(x - FRAME + 1, below + (number + 0.5) * LINE, text, TEXT, INK if number == 0 else SOFT)


def _columns(layout: _Layout, ranked: RankedList) -> Iterator[tuple[int, int, Shown]]:
    """Column, rank (0 for what stands left of the gap), image."""
    yield from ((column, 0, shown) for column, shown in enumerate(ranked.leading))
    yield from ((layout.leading + rank - 1, rank, shown) for rank, shown in enumerate(ranked.found, start=1))


def _key(lists: Sequence[RankedList]) -> str:
    """What the signs mean; empty where none is drawn."""
    if all(shown.right is None for ranked in lists for shown in ranked.found):
        return ""
    return "Green frame and tick: the query's identity. Orange-red frame and cross: another identity."
