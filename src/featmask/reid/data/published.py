"""What the data sets' authors counted, to be set beside what is found."""

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


def known_as(found: ReidSet) -> str | None:
    """Which published data set this says it is, by its layout and its folder's name; None for own data."""
    if found.name in ("market1501", "dukemtmc"):
        return found.name
    if found.name == "cuhk03np":
        return f"cuhk03np-{'labeled' if 'label' in found.root.name.lower() else 'detected'}"
    if found.name == "msmt17":
        return "msmt17" if "msmt17" in _plain(found.root) else None
    if found.name == "layumi":  # a folder "pytorch" within the data set's own
        names = (_plain(found.root), _plain(found.root.parent))
        return next((data for data in ("market1501", "dukemtmc", "msmt17") for name in names if data in name), None)
    return None


def _plain(path: Path) -> str:
    return re.sub("[^a-z0-9]", "", path.name.lower())


def counts(found: ReidSet) -> dict[str, dict[str, int]]:
    """part -> images, ids (junk and distractors left out), cameras, junk, distractors."""
    # own data may have a person 0 that is asked for; such a person is no distractor
    zero = found.name in WITH_DISTRACTORS and 0 not in found.query.pids
    return {name: _count(part, zero and name == "gallery", found.has_cameras) for name, part in found.parts.items()}


def _count(part: Part, zero: bool, cameras: bool) -> dict[str, int]:
    persons = set(part.pids.tolist()) - {JUNK} - ({0} if zero else set())
    return {
        "images": len(part),
        "ids": len(persons),
        "cameras": len(set(part.cams.tolist())) if cameras else 0,
        "junk": int((part.pids == JUNK).sum()),
        "distractors": int((part.pids == 0).sum()) if zero else 0,
    }
