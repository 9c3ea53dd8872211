"""A contact sheet: a few identities over the cameras, to look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import require
from ...utils.files import replacing
from .shots import shot_of
from .world import World

COLUMNS = 8
ROWS = (6, 2)


def contact_sheet(world: World, path: str | Path) -> None:
    """Write a PNG: in rows six identities of ``world`` and two of the other domain, in columns eight shots.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    image = require("PIL.Image", "train")
    other = replace(world, domain="b" if world.domain == "a" else "a")
    rows = [
        np.hstack([shot_of(place, 2 * row + 2, column % world.cameras + 1, column) for column in range(COLUMNS)])
        for place, count in zip((world, other), ROWS, strict=True)
        for row in range(count)
    ]
    # a palette keeps noisy pictures small enough for a repository
    sheet = image.fromarray(np.vstack(rows)).quantize(96, kmeans=2)
    with replacing(path) as beside:
        sheet.save(beside, "PNG", optimize=True)
