"""What a person re-identification data set is to the rest of the library: three parts of images, people and cameras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...errors import FeatmaskError

#: The person of an image that is neither right nor wrong.
JUNK = -1


@dataclass(frozen=True, eq=False)
class Part:
    """Images of one part: where they lie, who is on them, which camera took them.

    Attributes:
        paths: N files.
        pids: (N,) persons' numbers; -1 is junk: neither right nor wrong.
        cams: (N,) cameras' numbers, as the data set has them.

    Raises:
        FeatmaskError: columns of unequal length.
    """

    paths: tuple[Path, ...]
    pids: npt.NDArray[np.int64]
    cams: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        expected = (len(self.paths),)
        if self.pids.shape != expected or self.cams.shape != expected:
            raise FeatmaskError(
                f"expected as many persons and cameras as images, {expected}; got {self.pids.shape} and "
                f"{self.cams.shape}"
            )

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: npt.ArrayLike) -> Part:
        """Choose rows: positions in any order, or a mask of N booleans."""
        chosen = np.asarray(rows)
        if chosen.dtype != np.bool_:
            chosen = chosen.astype(np.int64)  # an empty list is of floats otherwise
        positions = np.arange(len(self))[chosen]
        return Part(tuple(self.paths[i] for i in positions.tolist()), self.pids[positions], self.cams[positions])


@dataclass(frozen=True, eq=False)
class ReidSet:
    """A person re-identification data set.

    Attributes:
        name: its layout: market1501, dukemtmc, msmt17, cuhk03np, layumi, csv, or market (own data in that layout).
        root: the folder that holds the parts, or the CSV file.
        train: what is learned from. Its persons are not those of the other two parts, even where numbers agree.
        query: the images that are searched for.
        gallery: the images that are searched; junk and distractors lie here.
        has_cameras: whether ``cams`` are real. If not, no gallery image can be dropped for being of the query's
            own camera, and the cameras are chosen such that none is.
        notes: what a reader of the results must know.
    """

    name: str
    root: Path
    train: Part
    query: Part
    gallery: Part
    has_cameras: bool = True
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, Part]:
        """The three parts by name."""
        return {"train": self.train, "query": self.query, "gallery": self.gallery}
