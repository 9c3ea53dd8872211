"""Which layout a folder has, and the one call that reads any of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ...errors import FeatmaskError, listed
from .cuhk03 import read_cuhk03, variants
from .folders import MARKET_FOLDERS, is_layumi, is_market, read_layumi, read_market
from .lists import is_msmt17, read_msmt17, read_table, tables
from .scan import Scan, audit
from .sets import ReidSet

#: Layout -> what its folder must hold.
LAYOUTS = {
    "market1501": "bounding_box_train, bounding_box_test and query",
    "dukemtmc": "bounding_box_train, bounding_box_test and query",
    "market": "bounding_box_train, bounding_box_test and query (own data)",
    "msmt17": "list_{train,val,query,gallery}.txt and train, test or mask_train_v2, mask_test_v2",
    "cuhk03np": "detected or labeled (with the three Market folders), or cuhk-03.mat and its protocol",
    "cuhk03np-detected": "the same, the boxes of a detector",
    "cuhk03np-labeled": "the same, the boxes drawn by hand",
    "layumi": "train_all (or train and val), query and gallery, each with one folder per person",
    "csv": "one CSV file with the columns path, pid, camid (may be left out) and split",
}


def read_reid(root: str | Path, layout: str = "auto") -> ReidSet:
    """Read a person re-identification data set as it lies on disk; nothing is downloaded and no pixel is decoded.

    Args:
        root: its folder, the folder above (if that holds one data set only), or a CSV file.
        layout: ``auto``, or one of `LAYOUTS`. ``auto`` tells market1501, dukemtmc and own data (market) apart by the
            folder's name.

    Raises:
        FeatmaskError: no such folder; no layout that is known; images that are empty, wrongly named, missing or
            doubled (up to ten are named); an empty part; fewer than two persons to learn from; junk outside the
            gallery; or no query that has a right gallery image by another camera.
    """
    scan = read_scan(root, layout)
    data = scan.finish()
    faults = [*scan.faults, *audit(data)]
    if faults:
        lines = listed([f"{fault.path}: {fault.message}" for fault in faults])
        raise FeatmaskError(f"{scan.root} ({scan.name}) has {len(faults)} fault(s):{lines}")
    return data


def read_scan(root: str | Path, layout: str = "auto") -> Scan:
    """Find the layout and read all there is, faults included.

    Raises:
        FeatmaskError: no such folder, no layout that is known, or more than one data set.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise FeatmaskError(f"expected a layout out of auto, {', '.join(LAYOUTS)}; got {layout!r}")
    place = Path(root).expanduser()
    if not place.exists():
        raise FeatmaskError(f"no folder {place}; expected the folder of a re-identification data set")
    try:
        sets = _find(place, layout)
        if not sets and place.is_dir():
            below = sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
            sets = [hit for path in below for hit in _find(path, layout)]
        if len(sets) > 1:
            names = ", ".join(f"{path} ({name})" for path, name in sets)
            raise FeatmaskError(f"{place} holds {len(sets)} data sets; give the folder of one of them: {names}")
        if not sets:
            raise FeatmaskError(_nothing(place, layout))
        return _read(*sets[0])
    except OSError as error:
        raise FeatmaskError(f"cannot read {place}: {error}") from error


def _find(root: Path, layout: str) -> list[tuple[Path, str]]:
    """Data sets at this very place, at most one of them unless there are several CSV files."""
    if root.is_dir():
        kind = layout.partition("-")[2]
        cuhk = variants(root)
        if layout.startswith("cuhk03np") or (layout == "auto" and cuhk):
            return [(root, "cuhk03np" if layout == "auto" else layout)] if cuhk and (not kind or kind in cuhk) else []
        if is_market(root) and layout in ("auto", "market1501", "dukemtmc", "market"):
            plain = re.sub("[^a-z0-9]", "", root.name.lower())
            name = next((known for known in ("market1501", "dukemtmc") if known in plain), "market")
            if layout in ("auto", name) or name == "market":
                return [(root, name if layout == "auto" else layout)]
            return [(root, layout)] if layout == "market" else []
        if is_layumi(root) and layout in ("auto", "layumi"):
            return [(root, "layumi")]
        if is_msmt17(root) and layout in ("auto", "msmt17"):
            return [(root, "msmt17")]
    return [(path, "csv") for path in tables(root)] if layout in ("auto", "csv") else []


def _nothing(place: Path, layout: str) -> str:
    wanted = LAYOUTS if layout == "auto" else {layout: LAYOUTS[layout]}
    looked = "\n  ".join(f"{name}: {holds}" for name, holds in wanted.items())
    there = [name for name in MARKET_FOLDERS.values() if (place / name).is_dir()]
    lacking = [name for name in MARKET_FOLDERS.values() if name not in there]
    near = f"\n{', '.join(there)} is there, but not {', '.join(lacking)}" if there and lacking else ""
    return f"no data set of a layout that is known in {place} or the folders in it; looked for\n  {looked}{near}"


def _read(path: Path, name: str) -> Scan:
    if name.startswith("cuhk03np"):
        return read_cuhk03(path, name.partition("-")[2] or None)
    others: dict[str, Callable[[Path], Scan]] = {"msmt17": read_msmt17, "layumi": read_layumi, "csv": read_table}
    return others[name](path) if name in others else read_market(path, name)
