"""A world as files in the Market-1501 layout, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import FeatmaskError, require
from ...utils.files import new_folder, write_json
from ...utils.progress import progress
from ..data.folders import MARKET_FOLDERS
from ..data.scan import RENDERED
from .shots import Picture, distractor, junk, shot_of
from .world import FORMAT, World, seen_by

NOTICE = "These are rendered pictures, not photographs; nobody who is shown exists."
TRAIN, QUERY, GALLERY = (MARKET_FOLDERS[part] for part in ("train", "query", "gallery"))


@dataclass(frozen=True)
class File:
    """One picture to write: its folder and name, and how it is made."""

    folder: str
    name: str
    render: Callable[[], Picture]


def plan(world: World) -> Iterator[File]:
    """Every picture of a world; names follow Market-1501, with PNG for JPEG (lossless)."""
    for pid in [*range(2, 2 * world.train_ids + 1, 2), *range(1, 2 * world.test_ids, 2)]:
        test = pid % 2
        for camera in seen_by(world, pid):
            for shot in range(world.shots + test):
                folder = (GALLERY if shot else QUERY) if test else TRAIN
                name = _name(f"{pid:04d}", camera, pid, shot)
                yield File(folder, name, partial(shot_of, world, pid, camera, shot))
    for text, count, render in (("0000", world.distractors, distractor), ("-1", world.junk, junk)):
        for number in range(count):
            camera = number % world.cameras + 1
            yield File(GALLERY, _name(text, camera, number, 0), partial(render, world, number, camera))


def _name(pid: str, camera: int, number: int, shot: int) -> str:
    """``pid_c<camera>s<sequence>_<frame>_<box>.png``; the frame only has to differ from person to person."""
    return f"{pid}_c{camera}s1_{25 * number + 101 + 7 * shot:06d}_{shot + 1:02d}.png"


def render_world(world: World, root: str | Path | None = None) -> Path:
    """Render a world into ``bounding_box_train``, ``query`` and ``bounding_box_test`` below a folder.

    A finished folder of the same parameters is used again. Whatever ends the rendering early, ``root`` holds all of it
    or nothing.

    Returns:
        ``root``; by default a folder of the user's cache (``$FEATMASK_CACHE``, else ``$XDG_CACHE_HOME/featmask``, else
        ``~/.cache/featmask``), named after the parameters.

    Raises:
        FeatmaskError: the folder holds something else: other parameters, another format, other files, too few pictures.
        MissingExtraError: Pillow is not installed.
    """
    image = require("PIL.Image", "train")
    target = _cached(world) if root is None else Path(root)
    if _finished(target, world):
        return target
    files = list(plan(world))
    try:
        with new_folder(target) as beside:
            for folder in MARKET_FOLDERS.values():
                (beside / folder).mkdir()
            with progress(f"rendering world {world.domain}", len(files)) as bar:
                for file in files:
                    image.fromarray(file.render()).save(beside / file.folder / file.name, compress_level=3)
                    bar.advance()
            write_json(beside / RENDERED, _record(world))
    except OSError:
        # another process may have put the same world there meanwhile
        if not _finished(target, world):
            raise
    return target


def _record(world: World) -> dict[str, Any]:
    pictures = Counter(file.folder for file in plan(world))
    return {
        "notice": NOTICE,
        "format": FORMAT,
        "world": world.parameters(),
        "pictures": {folder: pictures[folder] for folder in MARKET_FOLDERS.values()},
    }


def _finished(target: Path, world: World) -> bool:
    """Whether a folder holds this world; False if there is nothing yet."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    try:
        found = json.loads((target / RENDERED).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FeatmaskError(
            f"{target} is there and is no rendered world ({RENDERED} cannot be read); name a new or an empty folder"
        ) from error
    wanted = _record(world)
    if found != wanted:
        raise FeatmaskError(
            f"{target} holds another rendered world ({_differences(found, wanted)}); "
            "name a new folder, or delete this one"
        )
    for folder, count in wanted["pictures"].items():
        there = len(list((target / folder).glob("*.png")))
        if there != count:
            raise FeatmaskError(f"{target / folder}: expected {count} pictures, found {there}; delete {target}")
    return True


def _differences(found: Any, wanted: dict[str, Any]) -> str:
    if not isinstance(found, dict) or not isinstance(found.get("world"), dict):
        return f"{RENDERED} is of another form"
    if found.get("format") != wanted["format"]:
        return f"format {found.get('format')}, expected {wanted['format']}"
    differs = [
        f"{name} {found['world'].get(name)!r}, expected {value!r}"
        for name, value in wanted["world"].items()
        if found["world"].get(name) != value
    ]
    return ", ".join(differs) or f"{RENDERED} differs"


def _cached(world: World) -> Path:
    own, shared = os.environ.get("FEATMASK_CACHE"), os.environ.get("XDG_CACHE_HOME")
    base = Path(own) if own else (Path(shared) if shared else Path.home() / ".cache") / "featmask"
    text = json.dumps([FORMAT, world.parameters()], sort_keys=True)
    return base / f"world-{world.domain}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
