"""Guides of the attacks on retrieval: features that an image is pushed from and pulled to.

Metric FGSM and its iterated forms: Bai et al. 2019, "Adversarial metric attack and defense for person
re-identification". FNA: Bouniot et al. 2020, "Vulnerability of person re-identification models to metric adversarial
attacks".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...errors import FeatmaskError

#: Ids, cameras or rows as they may come in.
Integers = torch.Tensor | npt.NDArray[Any] | Sequence[int]


@dataclass(frozen=True)
class Guides:
    """What the attacked images (N) are pushed from and pulled to, in feature space (D), nearest first.

    Attributes:
        push: (N, K, D) features of other images of the same identity; zeros where there is none.
        push_mask: (N, K) bool: which of them exist.
        pull: (N, D) centroid of the furthest other identity.
    """

    push: torch.Tensor
    push_mask: torch.Tensor
    pull: torch.Tensor

    def __getitem__(self, rows: slice | torch.Tensor) -> Guides:
        """The guides of some of the images, for attacks in batches."""
        return Guides(self.push[rows], self.push_mask[rows], self.pull[rows])


def guides_rule(count: int) -> str:
    """The rule that ``choose_guides`` follows, for the record of a result."""
    return (
        f"push: up to {count} images of the attacked image's true identity, nearest in clean feature space; never the "
        "image itself, never junk; by other cameras, or, if there are none, by the same camera. pull: the mean feature "
        "of the other identity whose mean is furthest from the image's clean feature. An image without another image "
        "of its identity is pushed from its own clean feature instead (SMA's objective, with a random start). True "
        "identities are used: a white-box attacker who knows who is on the image."
    )


def choose_guides(
    ids: Integers,
    cams: Integers | None,
    own_rows: Integers | None,
    features: torch.Tensor,
    pool_features: torch.Tensor,
    pool_ids: Integers,
    pool_cams: Integers | None,
    *,
    pool_rows: Integers | None = None,
    count: int = 4,
    junk_id: int = -1,
    exclude: Collection[int] = (),
) -> Guides:
    """Choose guides by the rule of ``guides_rule``: it uses the true identities of the attacked images.

    Images by other cameras come first because only these count in the ranking.

    Args:
        ids: (N,) identities of the attacked images.
        cams: (N,) their cameras; None, here or in ``pool_cams``: no camera is preferred.
        own_rows: (N,) which image each one is, numbered like ``pool_rows``; None: none of them is in the pool.
        features: (N, D) their clean features, as retrieval compares them.
        pool_features: (M, D) clean features of the images that guides are taken from, with their identities
            ``pool_ids`` and cameras ``pool_cams``.
        pool_rows: (M,) which image each one is; equal numbers are one image. None: 0 to M - 1.
        count: guides per image at most.
        junk_id: the identity that means "nobody": no guide and no centroid.
        exclude: identities whose centroid pulls nothing: distractors, whose one id stands for many people.

    Raises:
        FeatmaskError: lengths that differ, features that are no finite matrix, or a pool without another identity.
    """
    if count < 1:
        raise FeatmaskError(f"guides: expected a count of 1 or more, got {count}")
    own, pool = _features(features, "features"), _features(pool_features, "pool_features").to(features.device)
    if own.shape[1] != pool.shape[1]:
        raise FeatmaskError(f"guides: features have length {own.shape[1]}, those of the pool {pool.shape[1]}")
    names = _integers(ids, "ids", len(own))
    pool_names = _integers(pool_ids, "pool_ids", len(pool))
    rows = None if own_rows is None else _integers(own_rows, "own_rows", len(own))
    numbers = np.arange(len(pool)) if pool_rows is None else _integers(pool_rows, "pool_rows", len(pool))
    cameras = None
    if cams is not None and pool_cams is not None:
        cameras = _integers(cams, "cams", len(own)), _integers(pool_cams, "pool_cams", len(pool))

    push = own.new_zeros(len(own), count, own.shape[1])
    mask = torch.zeros(len(own), count, dtype=torch.bool, device=own.device)
    for identity in np.unique(names[names != junk_id]):
        here, there = np.flatnonzero(names == identity), np.flatnonzero(pool_names == identity)
        if not len(there):
            continue
        allowed = np.ones((len(here), len(there)), bool)
        if rows is not None:
            allowed &= rows[here, None] != numbers[None, there]
        if cameras is not None:
            other = allowed & (cameras[0][here, None] != cameras[1][None, there])
            allowed = np.where(other.any(1, keepdims=True), other, allowed)
        mine, theirs = torch.from_numpy(here).to(own.device), torch.from_numpy(there).to(own.device)
        far = torch.cdist(own[mine], pool[theirs], compute_mode="donot_use_mm_for_euclid_dist")
        far[~torch.from_numpy(allowed).to(own.device)] = torch.inf
        # stable: among equals the first of the pool, on every device
        distance, order = far.sort(dim=1, stable=True)
        kept = min(count, len(there))
        mask[mine, :kept] = exists = distance[:, :kept].isfinite()
        push[mine, :kept] = pool[theirs[order[:, :kept]]] * exists[:, :, None]
    return Guides(push, mask, _furthest_centroids(own, names, pool, pool_names, {junk_id, *exclude}))


def _furthest_centroids(
    own: torch.Tensor, names: npt.NDArray[Any], pool: torch.Tensor, pool_names: npt.NDArray[Any], left_out: set[int]
) -> torch.Tensor:
    """For each image the mean feature of the other identity whose mean is furthest."""
    usable = np.flatnonzero(~np.isin(pool_names, list(left_out)))
    people, member = np.unique(pool_names[usable], return_inverse=True)
    same = torch.from_numpy(names[:, None] == people[None, :]).to(own.device)
    if bool(same.all(1).any()):  # also where there are no people at all
        raise FeatmaskError(
            "guides: the pool holds no identity but the attacked image's own (junk and excluded ids left out); "
            "pull needs another: pass a pool of at least two identities"
        )
    index, rows = (torch.from_numpy(numbers.reshape(-1)).to(own.device) for numbers in (member, usable))
    sums = pool.new_zeros(len(people), pool.shape[1]).index_add_(0, index, pool[rows])
    centroids = sums / torch.bincount(index, minlength=len(people))[:, None]
    far = torch.cdist(own, centroids)
    far[same] = -torch.inf
    return centroids[far.argmax(1)]


def _features(value: torch.Tensor, name: str) -> torch.Tensor:
    value = value.detach()
    if value.dim() != 2 or not value.is_floating_point() or not bool(value.isfinite().all()):
        raise FeatmaskError(f"guides: expected {name} as finite floats (number, length), got {tuple(value.shape)}")
    return value


def _integers(value: Integers, name: str, length: int) -> npt.NDArray[np.int64]:
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.ndim != 1 or len(array) != length or (length and array.dtype.kind not in "iu"):
        raise FeatmaskError(f"guides: expected {name} as {length} integers, got {array.dtype} {tuple(array.shape)}")
    return array.astype(np.int64)
