"""A matplotlib figure as inline SVG: text stays text, colours follow the page, bytes repeat for the same input."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

#: Okabe and Ito's palette, safe for colour-blind readers; black is left to the page's own colour.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
#: A marker per method, and the same sign in the page's legend: never told apart by colour alone. U+FE0E: no emoji.
MARKERS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "P": "✚\ufe0e", "X": "✖\ufe0e"}
#: Stands for the page's text colour while matplotlib draws.
INK = "#010203"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "featmask",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.usetex": False,
    "axes.unicode_minus": True,
    "axes.linewidth": 0.7,
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}
#: CSS pixels per point of the figure at most, so that text is never larger than the page's.
LARGEST = 1.2
PANEL = 4.4  # inches: a phone's width at a size that can be read


def look(number: int) -> tuple[str, str]:
    """Colour and marker of the n-th method; 49 pairs before one comes twice."""
    markers = list(MARKERS)
    return PALETTE[number % len(PALETTE)], markers[(number + number // len(PALETTE)) % len(markers)]


def sign(number: int) -> tuple[int, str]:
    """The n-th method in a page's legend: number of its colour, and its marker as text."""
    return number % len(PALETTE), MARKERS[look(number)[1]]


def dash(number: int) -> Any:
    """The n-th method's line: broken from the eighth on, where colours come again."""
    return "-" if number % (2 * len(PALETTE)) < len(PALETTE) else (0, (4, 1.6))


def plain(text: str, longest: int = 22) -> str:
    """A name that matplotlib takes as it is, cut in the middle where it would push the axes aside."""
    text = " ".join(text.split())
    head = longest * 2 // 5
    cut = text if len(text) <= longest else f"{text[:head]}…{text[head + 1 - longest :]}"
    return cut.replace("$", r"\$")  # between dollars stands mathematics


def drawn(draw: Callable[[Any], tuple[Any, str]], prefix: str) -> str:
    """Inline SVG of what ``draw`` makes with matplotlib's ``Figure``: a figure, and what is to be seen on it."""
    with mpl.rc_context(STYLE):
        figure, label = draw(Figure)
        # the first pass changes the axes' size and with it the ticks, the second makes room for those
        for _ in range(2):
            figure.tight_layout(pad=0.5)
        return to_svg(figure, prefix, label)


def panel(make: Any, title: str, label: str, *, size: tuple[float, float] = (PANEL, 3.0), grid: str = "both") -> Any:
    """A figure and its axes, titled above, labelled below, with a faint grid along ``grid``: x, y or both."""
    figure = make(figsize=size)
    ax = figure.subplots()
    ax.set_title(title, fontsize=10.5, loc="left", fontweight="bold")
    ax.set_xlabel(label, fontsize=9)
    ax.grid(axis=grid, color=INK, alpha=0.12, lw=0.6)
    return figure, ax


def row_panel(make: Any, title: str, label: str, rows: Sequence[str], height: float | None = None) -> Any:
    """The same with a row per name, from the top down."""
    figure, ax = panel(make, title, label, size=(PANEL, height or 0.3 * len(rows) + 0.85), grid="x")
    ax.set_yticks(range(len(rows)), [plain(name) for name in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    return figure, ax


def marks(ax: Any, row: int, number: int, values: Sequence[float], middle: float | None) -> None:
    """The n-th method's runs as marks in a row, an upright bar where their middle is."""
    colour, marker = look(number)
    ax.plot(values, [row] * len(values), marker, color=colour, ms=5.5, alpha=0.8, mew=0)
    if middle is not None:
        ax.plot([middle], [row], "|", color=INK, ms=13, mew=1.7)


def to_svg(figure: Any, prefix: str, label: str) -> str:
    """Draw ``figure``, made under ``STYLE``, for a page that holds several of them: ``prefix`` makes the ids unique
    there, ``label`` says what is to be seen to those who hear the page.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    # the style element would apply to the whole page
    text = re.sub(r"<(metadata|style)\b.*?</\1>|<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", text))
    # tags alone: what a method is called stays as it is
    text = re.sub(r"<[^>]+>", lambda tag: _tag(tag[0], prefix, used), text)
    text = re.sub(r"\n\s*(?=\n|<)", "\n", text)
    width, height = re.findall(r"[\d.]+", re.search(r'viewBox="([^"]+)"', text)[1])[2:]  # type: ignore[index]
    said = html.escape(label)
    opening = (
        f'<svg role="img" aria-label="{said}" viewBox="0 0 {width} {height}" stroke-linejoin="round" '
        f'style="max-width:{LARGEST * float(width):.0f}px"><title>{said}</title>'
    )
    return opening + text[text.index(">") + 1 :]


def _tag(tag: str, prefix: str, used: set[str]) -> str:
    tag = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", tag)
    tag = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", tag)
    tag = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{prefix}-\1"', tag)
    # the page's own font; the size stays
    tag = re.sub(r" ?font-family: [^;\"]*;?", "", re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", tag))
    tag = re.sub(r' transform="rotate\(-?0 [^)]*\)"', "", tag)
    tag = tag.replace(INK, "currentColor")
    for number, colour in enumerate(PALETTE):  # the page has lighter ones for dark mode
        tag = tag.replace(colour, f"var(--c{number})")
    return tag
