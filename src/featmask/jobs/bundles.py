"""A folder as one tar, to be sent where no files are shared, and put in place whole or not at all."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from ..errors import FeatmaskError
from ..utils.files import new_folder


def pack(folder: Path) -> bytes:
    """Every file below a folder; links, and what a kill has left half written, stay behind."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.suffix != ".tmp":
                tar.add(path, arcname=path.relative_to(folder).as_posix())
    return packed.getvalue()


def unpack(packed: bytes, folder: Path) -> None:
    """Write a tar's files into a folder; owners and links are not taken over.

    Raises:
        FeatmaskError: no tar, or a member that is no plain file or lies outside the folder.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(folder, filter=_plain)
    except tarfile.TarError as error:
        raise FeatmaskError(f"a job's results came back damaged: {error}") from error


def _plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    if not member.isfile():
        raise FeatmaskError(f"a job's results hold {member.name!r}, which is no plain file")
    return tarfile.data_filter(member, folder)


def put_in_place(packed: bytes, folder: Path) -> None:
    """Unpack beside ``folder``, then rename over it; what was there before is gone.

    Raises:
        FeatmaskError: as :func:`unpack`; ``folder`` is as it was.
    """
    with new_folder(folder) as beside:
        unpack(packed, beside)
        if folder.exists():
            away = tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp")
            os.replace(folder, Path(away) / folder.name)
            shutil.rmtree(away, ignore_errors=True)
