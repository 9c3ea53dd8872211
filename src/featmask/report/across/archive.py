"""The raw records of studies in one zip file: what every figure of a report can be made from again, and no more.

No weights, no state, no logs of other programs. The same records give the same bytes.
"""

from __future__ import annotations

import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ...errors import FeatmaskError
from ...utils.files import replacing

#: Of a study's folder, and of a run's folder below it.
OF_STUDY = ("comparison.json", "tuning.json", "recipe.tuned.yaml", "pictures/*.json", "pictures/*.png")
OF_RUN = ("run.json", "recipe.json", "env.json", "train.jsonl", "doctor.json", "subject.json", "eval/*.json",
          "eval/*.samples.csv")  # fmt: skip
#: The earliest date that a zip file can hold.
DATE = (1980, 1, 1, 0, 0, 0)
#: What no study reaches and what would fill a disk: members, bytes of one, bytes of all.
MOST, LARGEST, ALL = 50_000, 2**28, 2**31


def record_files(study: Path, runs: Iterable[Path]) -> dict[str, Path]:
    """Path within a study -> file: what the study's folder holds itself, and its runs as ``METHOD/seed-N/...``."""
    found = {name: path for pattern in OF_STUDY for name, path in _matches(study, pattern)}
    for run in runs:
        start = f"{run.parent.name}/{run.name}/"
        found |= {start + name: path for pattern in OF_RUN for name, path in _matches(run, pattern)}
    return found


def _matches(folder: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    for path in folder.glob(pattern):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def pack(target: str | Path, files: Mapping[str, Path]) -> Path:
    """Write files under their names into a zip file, sorted, undated and compressed; whole or not at all.

    Raises:
        FeatmaskError: no files, or a name that :func:`unpacked` would refuse.
    """
    target = Path(target)
    if not files:
        raise FeatmaskError("there are no records to pack")
    for name in files:
        _check_name(name, str(target))
    with replacing(target) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3  # the same on every machine
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(member, files[name].read_bytes())
    return target


@contextmanager
def unpacked(path: str | Path) -> Iterator[Path]:
    """A temporary folder with the records of a zip file; what is no record is left out.

    Raises:
        FeatmaskError: no zip file, one that is broken, encrypted or too large, or one with a name that leads out of its
            folder, a link, or a name that comes twice.
    """
    with tempfile.TemporaryDirectory(prefix="featmask-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
                _check(members, str(path))
                for member in members:
                    if not member.is_dir() and _is_record(member.filename):
                        target = Path(folder, *PurePosixPath(member.filename).parts)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        # what it says of its size was checked: no more than that is read
                        target.write_bytes(archive.read(member))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise FeatmaskError(f"{path}: expected a zip file of featmask report --pack: {error}") from error
        yield Path(folder)


def _check(members: list[zipfile.ZipInfo], archive: str) -> None:
    if len(members) > MOST:
        raise FeatmaskError(f"{archive}: expected at most {MOST} members, got {len(members)}")
    seen: set[str] = set()
    for member in members:
        _check_name(member.filename.rstrip("/") if member.is_dir() else member.filename, archive)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or member.flag_bits & 1:
            raise FeatmaskError(f"{archive}: expected plain files, got a link or an encrypted one: {member.filename!r}")
        if member.file_size > LARGEST:
            raise FeatmaskError(f"{archive}: {member.filename!r} has {member.file_size} bytes; at most {LARGEST}")
        # names that differ in case alone are one file on some machines
        if member.filename.lower() in seen:
            raise FeatmaskError(f"{archive}: expected every name once, got {member.filename!r} twice")
        seen.add(member.filename.lower())
    if sum(member.file_size for member in members) > ALL:
        raise FeatmaskError(f"{archive}: its members have more than {ALL} bytes together")


def _check_name(name: str, archive: str) -> None:
    parts = name.split("/")
    # a colon is a drive or a stream on Windows, a backslash a folder
    if re.search(r"[\x00-\x1f\\:]", name) or any(part in ("", ".", "..") for part in parts):
        raise FeatmaskError(f"{archive}: expected names of files within it, got {name!r}")


def _is_record(name: str) -> bool:
    path = PurePosixPath(name)
    return any(path.match(pattern) for pattern in (*OF_STUDY, *OF_RUN))
