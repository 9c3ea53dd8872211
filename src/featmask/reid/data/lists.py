"""Layouts that name their images in a file: MSMT17's lists, and a user's CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import FeatmaskError
from .scan import PARTS, Scan
from .sets import JUNK

#: Folders of the training and the test images, of MSMT17's versions 1 and 2.
MSMT17_FOLDERS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
NEEDED = ("path", "pid", "split")
NO_CAMERAS = (
    "no camera ids: gallery images by the query's own camera cannot be dropped, so that the scores are another and "
    "mostly an easier task than the published rule"
)
_WHOLE = re.compile(r"\d+")


def is_msmt17(root: Path) -> bool:
    """Whether a folder holds MSMT17's lists and the two folders of either version."""
    return all((root / f"list_{name}.txt").is_file() for name in PARTS) and _msmt17_folders(root) is not None


def _msmt17_folders(root: Path) -> tuple[str, str] | None:
    return next((pair for pair in MSMT17_FOLDERS if all((root / name).is_dir() for name in pair)), None)


def read_msmt17(root: Path) -> Scan:
    """Read MSMT17 V1 or V2 by its lists, of lines ``relative/path.jpg person``.

    The training part is ``list_train.txt`` and ``list_val.txt`` together: 32,621 images, the published size. (torchreid
    quotes that size, but leaves the val list out by default; a comparison with it must say which.) The camera is the
    third ``_`` field of the file's name. Test persons count from 0 again: equal numbers in training and test are
    different people.

    Source: Wei et al., Person Transfer GAN to Bridge Domain Gap for Person Re-Identification, CVPR 2018.
    """
    folders = _msmt17_folders(root)
    if folders is None:
        raise FeatmaskError(f"{root}: expected the folders train and test, or mask_train_v2 and mask_test_v2")
    scan = Scan("msmt17", root)
    train, test = folders
    for name, part in (("train", "train"), ("val", "train"), ("query", "query"), ("gallery", "gallery")):
        listing, folder = root / f"list_{name}.txt", train if part == "train" else test
        if listing.is_file():
            _add_list(scan, part, listing, root / folder)
        else:
            scan.notes.append(f"no {listing.name}: the part {part} lacks its images")
    scan.doubles()
    return scan


def _add_list(scan: Scan, part: str, listing: Path, folder: Path) -> None:
    for number, line in enumerate(listing.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        name, _, person = line.strip().rpartition(" ")
        fields = name.rpartition("/")[2].split("_")
        if not name or _WHOLE.fullmatch(person) is None:
            scan.fault("line", listing, f"line {number}: expected 'path person', got {line.strip()[:80]!r}")
        elif len(fields) < 3 or _WHOLE.fullmatch(fields[2]) is None:
            scan.fault("name", folder / name, "expected the camera as third field, such as 0000_000_01_*.jpg")
        elif scan.there(folder / name):
            scan.rows[part].append((folder / name, int(person), int(fields[2])))


def tables(root: Path) -> list[Path]:
    """CSV files of images at ``root``: itself, or those in the folder, whose header has path, pid and split."""
    if root.is_file():
        return [root] if root.suffix.lower() == ".csv" else []
    return [path for path in sorted(root.glob("*.csv")) if set(NEEDED) <= set(_header(path))]


def _header(path: Path) -> list[str]:
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as handle:
            return [name.strip() for name in next(csv.reader(handle), [])]
    except (OSError, csv.Error):
        return []


def read_table(path: Path) -> Scan:
    """Read a CSV with the columns ``path,pid,camid,split``; split is train, query or gallery.

    Paths are relative to the CSV. A person is any text, and gets a number from 1 on in the sorted order of all texts
    ('7' and '07' are two people); -1 stays junk. Cameras that are not all whole numbers are numbered the same way.
    Without the column camid the cameras are 0 for queries and training, 1 for the gallery, so that nothing is dropped;
    ``has_cameras`` is False and a note says what that does to the scores.

    Raises:
        FeatmaskError: columns are missing.
    """
    header = _header(path)
    lacking = [name for name in NEEDED if name not in header]
    if lacking:
        raise FeatmaskError(f"{path}: expected the columns path, pid, camid (may be left out), split; got {header}")
    scan = Scan("csv", path, has_cameras="camid" in header)
    if not scan.has_cameras:
        scan.notes.append(NO_CAMERAS)
    try:
        rows = list(_rows(scan, header))
    except csv.Error as error:
        raise FeatmaskError(f"{path} is no CSV that can be read: {error}") from error
    pids = _numbered([pid for _, _, pid, _ in rows])
    cams = _numbered([cam for _, _, _, cam in rows], keep=True)
    for part, image, pid, cam in rows:
        scan.rows[part].append((image, pids[pid], cams[cam]))
    scan.doubles()
    return scan


def _rows(scan: Scan, header: Sequence[str]) -> Iterator[tuple[str, Path, str, str]]:
    """Part, image, person and camera of the lines that name an image; the others are faults."""
    wanted = NEEDED + (("camid",) if scan.has_cameras else ())
    with open(scan.root, newline="", encoding="utf-8-sig", errors="replace") as handle:
        reader = csv.reader(handle)
        next(reader)
        for values in reader:
            row = dict(zip(header, (value.strip() for value in values), strict=False))
            if not any(map(str.strip, values)):
                continue
            line, lacking = f"line {reader.line_num}", [name for name in wanted if not row.get(name)]
            if lacking:
                scan.fault("line", scan.root, f"{line}: nothing in the column(s) {', '.join(lacking)}")
            elif row["split"] not in PARTS:
                scan.fault("line", scan.root, f"{line}: expected split train, query or gallery, got {row['split']!r}")
            elif scan.there(image := scan.root.parent / row["path"]):
                camera = row["camid"] if scan.has_cameras else str(int(row["split"] == "gallery"))
                yield row["split"], image, row["pid"], camera


def _numbered(texts: Sequence[str], keep: bool = False) -> dict[str, int]:
    """Text -> number. ``keep``: whole numbers stay what they are, if all are."""
    distinct = sorted(set(texts) - {str(JUNK)})
    if keep and all(_WHOLE.fullmatch(text) for text in distinct):
        return {text: int(text) for text in [*distinct, str(JUNK)]}
    return {str(JUNK): JUNK, **{text: number for number, text in enumerate(distinct, 1)}}
