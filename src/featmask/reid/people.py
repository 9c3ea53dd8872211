"""Person re-identification for training and scoring: photographs, persons and cameras in parts that never change.

People are held out for validation, never images: a model is scored on persons that it was not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ..data import Augment, Photos
from ..data.photos import stretch
from ..data.pixels import LatePixels
from ..data.tables import SPLIT_SEED
from ..errors import FeatmaskError
from .data.layouts import read_reid
from .data.scan import PARTS
from .data.sets import Part, ReidSet
from .synthetic import make_world, render_world

#: Persons at least: a ranking needs wrong answers, and a classifier a second class.
_FEWEST = 2


@dataclass(frozen=True, eq=False)
class Side(Part):
    """One side of a search: files, persons and cameras, and ``photos``, the N images with their persons as labels.

    Where the data have no cameras, they are chosen such that scoring drops nothing.
    """

    photos: Photos


@dataclass(frozen=True, eq=False)
class PeopleSplits:
    """A re-identification data set in parts. Query and gallery are for final figures; choose on ``validation``.

    The pixels of a part are read when its first image is used.

    Attributes:
        name: the data set's layout, or ``synthetic``.
        root: where its files are.
        train: training images; labels are 0 to ``num_ids`` - 1, in the order of ``persons``.
        persons: (num_ids,) persons of the training part, ascending.
        validation: query and gallery of persons that are held out of training, or None.
        query: the images that are searched for.
        gallery: the images that are searched, junk and distractors among them.
        has_cameras: whether cameras are real.
        notes: what a reader of the results must know.
    """

    name: str
    root: Path
    train: Photos
    persons: npt.NDArray[np.int64]
    validation: tuple[Side, Side] | None
    query: Side
    gallery: Side
    has_cameras: bool = True
    notes: tuple[str, ...] = ()

    @property
    def num_ids(self) -> int:
        """Persons of the training part: the classes of an identity loss."""
        return len(self.persons)

    def with_augment(self, augment: Augment | None, mean: Sequence[float] | None = None) -> PeopleSplits:
        """The same data with another augmentation of the training images, which are not read again."""
        return replace(self, train=self.train.with_augment(augment, mean))


def load_people(
    name: str = "auto",
    *,
    root: str | Path | None = None,
    height: int = 256,
    width: int = 128,
    world: Mapping[str, Any] | None = None,
    validation: float = 0.0,
    train_share: float = 1.0,
    parts: Sequence[str] = PARTS,
) -> PeopleSplits:
    """Find a data set, split its training part by persons, and get ready to read its images.

    Args:
        name: a layout of `reid.LAYOUTS`; ``auto`` tells which it is; ``synthetic`` renders pedestrians.
        root: the data set's folder or CSV file. For ``synthetic`` where it is rendered, by default in the user's cache.
        height, width: images are resized to these pixels, whatever their aspect.
        world: parameters of `synthetic.World`, for ``synthetic`` only.
        validation: share of the training persons that is held out, 0 for none. The first image of a person by a camera
            becomes a query, the others the gallery. Only persons are held out whose queries all have a right gallery
            image by another camera: two of their cameras took two images or more. Without cameras, two images do.
        train_share: share of the other training persons that is used (for studies of small training sets).
        parts: those whose images may be read, of train (with validation), query, gallery; asking for another's images
            is an error, so that an evaluation cannot depend on training images by mistake.

    The choice of persons never depends on a training seed, and a smaller share is a subset of a larger one.

    Raises:
        FeatmaskError: see `read_reid`, `World` and `render_world`; no root; a size, share or part that cannot be; too
            few persons. Images that cannot be read are named when their part is read.
    """
    _check(height, width, validation, train_share, parts)
    data = _find(name, root, world)
    learned, held_out = _split(data, validation, train_share)

    def photos(part: Part, labels: npt.NDArray[np.int64], of: str) -> Photos:
        read = partial(stretch, height=height, width=width) if of in parts else partial(_refuse, of, tuple(parts))
        return Photos(LatePixels(part.paths, read, (3, height, width), f"reading images of {of}"), labels)

    def side(part: Part, of: str) -> Side:
        return Side(part.paths, part.pids, part.cams, photos(part, part.pids, of))

    persons, labels = np.unique(learned.pids, return_inverse=True)
    return PeopleSplits(
        name="synthetic" if name == "synthetic" else data.name,
        root=data.root,
        train=photos(learned, labels.astype(np.int64), "train"),
        persons=persons,
        validation=None if held_out is None else (side(held_out[0], "train"), side(held_out[1], "train")),
        query=side(data.query, "query"),
        gallery=side(data.gallery, "gallery"),
        has_cameras=data.has_cameras,
        notes=data.notes,
    )


def _check(height: int, width: int, validation: float, train_share: float, parts: Sequence[str]) -> None:
    for name, value in (("height", height), ("width", width)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise FeatmaskError(f"{name}: expected a whole number of pixels, 1 or more; got {value!r}")
    if not 0 <= validation < 1:
        raise FeatmaskError(
            f"validation: expected a share of the training persons, from 0 to below 1; got {validation}"
        )
    if not 0 < train_share <= 1:
        raise FeatmaskError(f"train_share: expected a share of the persons, above 0 to 1; got {train_share}")
    unknown = [part for part in parts if part not in PARTS]
    if unknown or isinstance(parts, str):
        raise FeatmaskError(f"parts: expected some of {', '.join(PARTS)}; got {parts!r}")


def _find(name: str, root: str | Path | None, world: Mapping[str, Any] | None) -> ReidSet:
    if name != "synthetic":
        if world is not None:
            raise FeatmaskError(
                f"a world is rendered for the data set 'synthetic' only, not for {name!r}; leave it out"
            )
        if root is None:
            raise FeatmaskError(f"data set {name!r} needs a root, the folder that it lies in; or choose 'synthetic'")
        return read_reid(root, name)
    rendered = make_world(world or {})
    return read_reid(render_world(rendered, None if root is None else Path(root).expanduser()), "market")


def _refuse(of: str, parts: tuple[str, ...], path: Path) -> NoReturn:
    raise FeatmaskError(f"{path} is of the part {of}, but only {', '.join(parts) or 'no part'} may be read; add {of}")


def _split(data: ReidSet, validation: float, train_share: float) -> tuple[Part, tuple[Part, Part] | None]:
    """What is learned from, and the query and gallery of the persons that are held out."""
    train = data.train
    persons = np.unique(train.pids)
    held_out = persons[:0]
    if validation:
        held_out = _some(_searchable(data), round(validation * len(persons)), 0, "validation")
    rest = np.setdiff1d(persons, held_out)
    kept = rest if train_share == 1 else _some(rest, round(train_share * len(rest)), 1, "train_share")
    if len(kept) < _FEWEST:
        raise FeatmaskError(f"{len(kept)} person(s) are left to learn from; expected {_FEWEST} or more: hold out fewer")
    learned = train.take(np.isin(train.pids, kept))
    return learned, _search(train.take(np.isin(train.pids, held_out)), data.has_cameras) if validation else None


def _some(persons: npt.NDArray[np.int64], count: int, stream: int, option: str) -> npt.NDArray[np.int64]:
    """The first ``count`` of a shuffle that never changes."""
    if not _FEWEST <= count <= len(persons):
        limits = f"expected {_FEWEST} or more" if count < _FEWEST else f"only {len(persons)} can be used"
        raise FeatmaskError(f"{option}: this share is {count} person(s), but {limits}; choose another share")
    return np.random.default_rng([SPLIT_SEED, stream]).permutation(persons)[:count]


def _searchable(data: ReidSet) -> npt.NDArray[np.int64]:
    """Persons whose queries would all have a right gallery image by another camera, ascending."""
    shots, counts = np.unique(np.stack([data.train.pids, data.train.cams]), axis=1, return_counts=True)
    persons, often = np.unique(shots[0, counts > 1], return_counts=True)
    return persons[often > 1] if data.has_cameras else persons


def _search(part: Part, has_cameras: bool) -> tuple[Part, Part]:
    """Query and gallery: the first image of each person by each camera is searched for, in the others."""
    _, first = np.unique(np.stack([part.pids, part.cams]), axis=1, return_index=True)
    is_query = np.isin(np.arange(len(part)), first)
    query, gallery = part.take(is_query), part.take(~is_query)
    if not has_cameras:  # all images have the same one; with another in the gallery scoring drops nothing
        gallery = replace(gallery, cams=gallery.cams + 1)
    return query, gallery
