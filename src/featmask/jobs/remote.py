"""What a node of a cluster does for a job: in the job's own folder where it sees it, else in one of the node's."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from ..errors import FeatmaskError
from ..utils.files import write_text
from .bundles import pack, unpack
from .job import Job
from .performing import LOG, output_to, perform, read


@dataclass(frozen=True)
class Home:
    """Where the jobs come from.

    Attributes:
        token: a file whose content only a node can read that shares files with the driver; None: none may work there.
        content: of the token.
        folder: the driver's working folder; relative paths of data begin there.
        path: where the driver finds modules.
        variables: the driver's environment, as far as it is ours.
    """

    token: Path | None
    content: str
    folder: Path
    path: list[str]
    variables: dict[str, str]

    @property
    def shared(self) -> bool:
        """Whether this process sees the driver's files."""
        try:
            return self.token is not None and self.token.read_text(encoding="utf-8") == self.content
        except (OSError, UnicodeDecodeError):
            return False


@contextmanager
def home(jobs: Sequence[Job], own_folders: bool) -> Iterator[Home]:
    """Leave a token above the jobs' folders for as long as the block lasts."""
    root = Path(os.path.commonpath([job.folder.parent for job in jobs]))
    content = uuid4().hex
    token = None if own_folders else root / f".jobs-{content}.tmp"
    variables = {name: value for name, value in os.environ.items() if name.startswith("FEATMASK_")}
    try:
        if token is not None:
            write_text(token, content)
        yield Home(token, content, Path.cwd(), sys.path, variables)
    finally:
        if token is not None:
            token.unlink(missing_ok=True)


class Result(NamedTuple):
    """What comes back from a node.

    Attributes:
        why: the job failed; None: it is done.
        packed: its folder as a tar; None where it lies in its place.
        wants: nothing was done: the node needs what there is of the folder already.
    """

    why: str | None
    packed: bytes | None = None
    wants: bool = False


def work(packed: bytes, home: Home, earlier: bytes | None, begun: bool) -> Result:
    """Do a job on a node.

    Args:
        packed, home: the job, and where it comes from.
        earlier: what there is of its folder, as a tar, where it was sent along.
        begun: whether there is something of its folder.
    """
    os.environ.update(home.variables)
    if home.folder.is_dir():
        os.chdir(home.folder)
    sys.path += [place for place in home.path if place not in sys.path]
    try:
        job = read(packed)
    except FeatmaskError as error:
        return Result(str(error))
    if home.shared:
        with output_to(job.folder / LOG):
            return Result(perform(job).why)
    if begun and earlier is None:
        return Result(None, wants=True)
    with tempfile.TemporaryDirectory(prefix="featmask-") as name:
        job = job.moved(Path(name) / job.folder.name)
        job.folder.mkdir()
        if earlier is not None:
            unpack(earlier, job.folder)
        with output_to(job.folder / LOG):
            why = perform(job).why
        return Result(why, pack(job.folder))
