"""Markdown that every report is written in: tables, blocks of code, and text that is shown as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence


def grid(head: Sequence[str], body: Sequence[Sequence[str]], left: int, ours: range = range(0)) -> list[str]:
    """A table; cells in ``ours`` hold Markdown of our own, all others are escaped."""
    rules = ["---"] * left + ["---:"] * (len(head) - left)
    lines = [[safe(name) for name in head], rules]
    lines += [[cell if i in ours else safe(cell) for i, cell in enumerate(row)] for row in body]
    return ["| " + " | ".join(line) + " |" for line in lines]


def safe(text: str) -> str:
    """Text that Markdown shows as it is: no tags, no links, no broken table."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # an underscore inside a word is no emphasis: most names of methods have one
    return re.sub(r"([\\`*\[\]|]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def fenced(text: str) -> list[str]:
    """A block of code that holds whatever the text holds."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, text, fence]
