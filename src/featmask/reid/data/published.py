"""The counts that the data sets' authors published, for a comparison with what is on disk."""

from __future__ import annotations

import re
from pathlib import Path

from .scan import WITH_DISTRACTORS
from .sets import JUNK, Part, ReidSet

#: data set -> part -> count. Sources: Zheng 2015 (Market-1501), Ristani 2016 and Zheng 2017 (DukeMTMC-reID), Wei 2018
#: (MSMT17, either version), Zhong 2017 (CUHK03-np).
PUBLISHED: dict[str, dict[str, dict[str, int]]] = {
    "market1501": {
        "train": {"images": 12936, "ids": 751, "cameras": 6},
        "query": {"images": 3368, "ids": 750, "cameras": 6},
        "gallery": {"images": 19732, "junk": 3819, "distractors": 2798, "cameras": 6},
    },
    "dukemtmc": {
        "train": {"images": 16522, "ids": 702, "cameras": 8},
        "query": {"images": 2228, "ids": 702, "cameras": 8},
        "gallery": {"images": 17661, "cameras": 8},
    },
    "msmt17": {
        "train": {"images": 32621, "ids": 1041, "cameras": 15},
        "query": {"images": 11659, "ids": 3060},
        "gallery": {"images": 82161, "ids": 3060, "cameras": 15},
    },
    "cuhk03np-labeled": {
        "train": {"images": 7368, "ids": 767},
        "query": {"images": 1400, "ids": 700},
        "gallery": {"images": 5328, "ids": 700},
    },
    "cuhk03np-detected": {
        "train": {"images": 7365, "ids": 767},
        "query": {"images": 1400, "ids": 700},
        "gallery": {"images": 5332, "ids": 700},
    },
}


def known_as(data: ReidSet) -> str | None:
    """Which published data set this is by its layout and its folder's name; None for a user's data."""
    if data.name in ("market1501", "dukemtmc"):
        return data.name
    if data.name == "cuhk03np":
        return f"cuhk03np-{'labeled' if 'label' in data.root.name.lower() else 'detected'}"
    if data.name == "msmt17":
        return "msmt17" if "msmt17" in _plain(data.root) else None
    if data.name == "layumi":  # a folder "pytorch" within the data set's own
        names = (_plain(data.root), _plain(data.root.parent))
        return next((data for data in ("market1501", "dukemtmc", "msmt17") for name in names if data in name), None)
    return None


def _plain(path: Path) -> str:
    return re.sub("[^a-z0-9]", "", path.name.lower())


def counts(data: ReidSet) -> dict[str, dict[str, int]]:
    """part -> images, ids (junk and distractors left out), cameras, junk, distractors."""
    # a user's data may have a person 0 among the queries, who is no distractor then
    zero = data.name in WITH_DISTRACTORS and 0 not in data.query.pids
    return {name: _count(part, zero and name == "gallery", data.has_cameras) for name, part in data.parts.items()}


def _count(part: Part, zero: bool, cameras: bool) -> dict[str, int]:
    persons = set(part.pids.tolist()) - {JUNK} - ({0} if zero else set())
    return {
        "images": len(part),
        "ids": len(persons),
        "cameras": len(set(part.cams.tolist())) if cameras else 0,
        "junk": int((part.pids == JUNK).sum()),
        "distractors": int((part.pids == 0).sum()) if zero else 0,
    }
