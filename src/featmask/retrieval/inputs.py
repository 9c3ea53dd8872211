"""What callers pass, brought into one form: features as a matrix, ids and cameras as small integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import FeatmaskError, warn

#: Features or distances as they may come in.
Matrix = npt.NDArray[Any] | torch.Tensor
#: Ids or cameras as they may come in: an array, a tensor, or a list of numbers or of texts.
Labels = npt.NDArray[Any] | torch.Tensor | Sequence[Any]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sides:
    """Ids and cameras of the queries and of the gallery that they are searched in.

    Attributes:
        query_ids: (Q,) codes; equal codes are equal ids.
        query_cams: (Q,) codes.
        gallery_ids: (G,) codes of the items that are kept.
        gallery_cams: (G,) codes of the items that are kept.
        kept: (G,) positions in the gallery as it came, junk left out, ascending.
        junk: number of gallery items left out.
        cameras: False where no cameras were given.
    """

    query_ids: Integers
    query_cams: Integers
    gallery_ids: Integers
    gallery_cams: Integers
    kept: Integers
    junk: int
    cameras: bool


def matrix(value: Matrix, name: str) -> Floats | torch.Tensor:
    """Features (N, D) of any float type as a float32 matrix: NumPy, or a tensor where its device is no CPU.

    Raises:
        FeatmaskError: not two axes, or an axis of length 0.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach()
        array: Any = value.float() if value.device.type != "cpu" else value.float().contiguous().numpy()
    else:
        try:
            with np.errstate(over="ignore"):  # what does not fit becomes infinite, and that is found later
                array = np.ascontiguousarray(value, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise FeatmaskError(
                f"{name}: expected numbers in rows of equal length; got {type(value).__name__}"
            ) from error
    if array.ndim != 2 or 0 in array.shape:
        raise FeatmaskError(f"{name}: expected shape (number, length), neither of them 0; got {tuple(array.shape)}")
    return array  # type: ignore[no-any-return]


def pair(query: Matrix, gallery: Matrix) -> tuple[Floats | torch.Tensor, Floats | torch.Tensor]:
    """Both sides' features in one form, on one device.

    Raises:
        FeatmaskError: shapes that do not fit, or two devices.
    """
    first, second = matrix(query, "query_features"), matrix(gallery, "gallery_features")
    if first.shape[1] != second.shape[1]:
        raise FeatmaskError(
            f"query and gallery features must have one length; got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    places = {str(side.device) if isinstance(side, torch.Tensor) else "cpu" for side in (first, second)}
    if len(places) > 1:
        raise FeatmaskError(f"query and gallery features must lie on one device; got {' and '.join(sorted(places))}")
    return first, second


def labels(value: Labels, count: int, name: str) -> npt.NDArray[Any]:
    """Ids or cameras as int64, or as texts.

    Raises:
        FeatmaskError: another length than ``count``, or neither whole numbers nor texts.
    """
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.shape != (count,):
        raise FeatmaskError(f"{name}: expected one for each of the {count} images; got shape {array.shape}")
    if array.dtype.kind in "OUS":
        kinds = {isinstance(entry, (str, bytes)) for entry in np.asarray(value, dtype=object).tolist()}
        if len(kinds) > 1:
            raise FeatmaskError(f"{name}: numbers and texts are mixed; give one kind")
        if kinds == {True}:
            return array.astype(str)
        array = np.asarray(array.tolist())
    if array.dtype.kind in "biu":
        return array.astype(np.int64)
    if array.dtype.kind == "f" and np.array_equal(array, np.floor(array)) and np.isfinite(array).all():
        return array.astype(np.int64)
    raise FeatmaskError(f"{name}: expected whole numbers or texts; got {array.dtype}")


def sides(
    query_ids: Labels,
    query_cams: Labels | None,
    gallery_ids: Labels,
    gallery_cams: Labels | None,
    shape: tuple[int, int],
    junk_id: int | str | None,
) -> Sides:
    """Code ids and cameras, leave junk out, and say where a rule looks forgotten.

    Args:
        shape: (Q, G), what the ids and cameras must fit.
        junk_id: gallery items of this id are left out; None leaves none out.

    Raises:
        FeatmaskError: lengths or kinds that do not fit; a gallery of junk alone.
    """
    queries, gallery = shape
    if queries == 0 or gallery == 0:
        raise FeatmaskError(f"expected at least one query and one gallery item; got {queries} and {gallery}")
    q_ids, g_ids = labels(query_ids, queries, "query_ids"), labels(gallery_ids, gallery, "gallery_ids")
    _same_kind(q_ids, g_ids, "ids")
    if (query_cams is None) != (gallery_cams is None):
        raise FeatmaskError("cameras of one side only: give both sides' cameras, or None for both")
    junk_code = str(junk_id) if g_ids.dtype.kind == "U" else junk_id
    junk = np.zeros(gallery, dtype=bool) if junk_id is None else g_ids == junk_code
    kept = np.flatnonzero(~junk)
    if not len(kept):
        raise FeatmaskError(f"every gallery item has the junk id {junk_id!r}: nothing is left to search in")
    _warn_of_junk(g_ids[kept], junk_id)
    codes = np.unique(np.concatenate([q_ids, g_ids[kept]]), return_inverse=True)[1].astype(np.int64)
    if query_cams is None or gallery_cams is None:
        # no two of these are equal, hence nothing is dropped for its camera
        cams = np.repeat([0, 1], [queries, len(kept)])
    else:
        q_cams, g_cams = labels(query_cams, queries, "query_cams"), labels(gallery_cams, gallery, "gallery_cams")
        _same_kind(q_cams, g_cams, "cameras")
        cams = np.unique(np.concatenate([q_cams, g_cams[kept]]), return_inverse=True)[1].astype(np.int64)
        if cams.max() == 0:
            warn(
                "all queries and all gallery items have one camera: every right item counts as seen by the query's "
                "own camera and is dropped, so that no query can have a match and there is no score; give None for "
                "both sides' cameras to keep them"
            )
    return Sides(
        query_ids=codes[:queries],
        query_cams=cams[:queries],
        gallery_ids=codes[queries:],
        gallery_cams=cams[queries:],
        kept=kept,
        junk=gallery - len(kept),
        cameras=query_cams is not None,
    )


def warn_if_alike(gallery: Floats | torch.Tensor) -> None:
    """Warn where all gallery features are one: then every order is an order of ties."""
    if len(gallery) < 2:
        return
    rows: Any = gallery
    first = rows[:1]
    for start in range(0, len(gallery), 256):
        if float(abs(rows[start : start + 256] - first).max()) > 1e-6 * float(abs(first).max()):
            return
    warn(
        "all gallery features are alike: the ranking is that of the gallery's order, and the score means nothing; "
        "was the model trained, and were the right features stored?"
    )


def _same_kind(query: npt.NDArray[Any], gallery: npt.NDArray[Any], name: str) -> None:
    if query.dtype.kind != gallery.dtype.kind:
        raise FeatmaskError(f"{name} of queries and gallery must be of one kind; got {query.dtype} and {gallery.dtype}")


def _warn_of_junk(ids: npt.NDArray[Any], junk_id: int | str | None) -> None:
    below = np.char.startswith(ids, "-") if ids.dtype.kind == "U" else ids < 0
    if below.any():
        warn(
            f"{int(below.sum())} gallery items have an id below 0 and stay in the gallery as wrong answers (junk_id is "
            f"{junk_id!r}); in Market-1501 and DukeMTMC-reID the id -1 is junk, and keeping it costs many points of "
            "Rank-1: give junk_id=-1, or other ids if these are people"
        )
