"""What every page is made with: templates that escape, links between files, pictures inside the page."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from ..errors import FeatmaskError

PNG = b"\x89PNG\r\n\x1a\n"


def rendered(template: str, **context: Any) -> str:
    """A page from one of our templates: everything is escaped, a name that is missing is a mistake."""
    loader = jinja2.PackageLoader("featmask.report")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(template).render(context)


def relative_link(path: Path, root: Path) -> str:
    """From a page in ``root`` to a file; empty where there is no way, as to another drive."""
    try:
        link = os.path.relpath(path.resolve(), root.resolve())
    except ValueError:
        return ""
    # a name may hold what means something in a link: '#', '?', a colon
    return "./" + quote(Path(link).as_posix())


def file_links(folder: Path, names: Iterable[str], suites: Iterable[str], root: Path) -> list[tuple[str, str]]:
    """Name and link, from a page in ``root``, of the files of a folder that are there, those of suites among them."""
    records = (f"eval/{suite}{ending}" for suite in suites for ending in (".json", ".samples.csv"))
    paths = [(name, folder / name) for name in (*names, *records)]
    links = [(name.removeprefix("eval/"), relative_link(path, root)) for name, path in paths if path.is_file()]
    return [(name, link) for name, link in links if link]


def embedded(path: str | Path) -> tuple[str, int]:
    """A PNG file as text that an image's source may be, and its width in pixels: no page shows it larger; FeatmaskError
    where it cannot be read, or is no PNG.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise FeatmaskError(f"cannot read the image {path}: {error.strerror}") from error
    if not raw.startswith(PNG):
        raise FeatmaskError(f"expected a PNG file, but {path} is none; save the picture as PNG")
    # the first chunk of every PNG holds its size
    return "data:image/png;base64," + base64.b64encode(raw).decode(), int.from_bytes(raw[16:20], "big")
