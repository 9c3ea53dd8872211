"""Layouts that tell the person and the camera by file names: Market-1501 and all that took its form."""

from __future__ import annotations

import re
from pathlib import Path

from .scan import MARKET_NAME, Scan

#: Our names of the parts, and the folders' names in the Market layout.
MARKET_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_PID_FOLDER = re.compile(r"-1|\d+")


def is_market(root: Path) -> bool:
    """Whether a folder holds the three folders of the Market layout."""
    return all((root / name).is_dir() for name in MARKET_FOLDERS.values())


def is_layumi(root: Path) -> bool:
    """Whether a folder holds query, gallery and a training part in layumi's form, or a folder ``pytorch`` that does."""
    home = layumi_home(root)
    return all((home / name).is_dir() for name in ("query", "gallery")) and any(
        (home / name).is_dir() for name in ("train_all", "train")
    )


def layumi_home(root: Path) -> Path:
    """The folder that holds the parts."""
    return root / "pytorch" if (root / "pytorch").is_dir() else root


def read_market(root: Path, name: str = "market") -> Scan:
    """Read ``{bounding_box_train,bounding_box_test,query}/PID_cCAM*.jpg``.

    The person is -1 for junk and 0000 for distractors; cameras stay as they are numbered (from 1, two digits too). Only
    the file's name is looked at, never its path; any image suffix is read, and other files are ignored.

    DukeMTMC-reID has this layout too. Its authors withdrew it for privacy: it is read where a user has it, with a note.

    Source: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015.
    """
    scan = Scan(name, root)
    if name == "dukemtmc":
        scan.notes.append("DukeMTMC-reID was withdrawn by its authors for privacy")
    for part, folder in MARKET_FOLDERS.items():
        for path in scan.images(root / folder):
            _add(scan, part, path)
    return scan


def _add(scan: Scan, part: str, path: Path, folder_pid: int | None = None) -> None:
    match = MARKET_NAME.match(path.name)
    if match is None:
        scan.fault("name", path, "expected PERSON_cCAMERA first, such as 0002_c1s1_000451_03.jpg or -1_c12_7.png")
        return
    pid = int(match[1])
    if folder_pid is not None and pid != folder_pid:
        scan.fault("name", path, f"the name says person {pid}, its folder says {folder_pid}")
        return
    scan.rows[part].append((path, pid, int(match[2])))


def read_layumi(root: Path) -> Scan:
    """Read ``{train_all,train,val,query,gallery}/PID/PID_cCAM*.jpg``, at ``root`` or in its folder ``pytorch``.

    ``train_all`` is the training part; without it ``train`` and ``val`` are, which hold the same images between them.

    Source: the form that layumi/Person_reID_baseline_pytorch prepares.
    """
    home = layumi_home(root)
    scan = Scan("layumi", home)
    train = ["train_all"] if (home / "train_all").is_dir() else ["train", "val"]
    for part, folders in {"train": train, "query": ["query"], "gallery": ["gallery"]}.items():
        for folder in folders:
            if (home / folder).is_dir():
                _add_persons(scan, part, home / folder)
    return scan


def _add_persons(scan: Scan, part: str, folder: Path) -> None:
    seen: dict[str, Path] = {}
    for person in sorted(one for one in folder.iterdir() if not one.name.startswith(".")):
        if not person.is_dir():
            scan.ignored.append(person)
        elif _PID_FOLDER.fullmatch(person.name) is None:
            scan.fault("name", person, "expected a folder named by its person: a whole number, or -1 for junk")
        else:
            for path in scan.images(person):
                first = seen.setdefault(path.name, path)
                if first != path:
                    scan.fault("doubled", path, f"also in the folder {first.parent.name}; keep one of them")
                _add(scan, part, path, int(person.name))
