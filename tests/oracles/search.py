"""A small search by hand, and embeddings that are simple enough to be followed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from featmask.data import Photos
from featmask.reid.people import Side

from .retrieval_naive import score

SIZE = (3, 8, 8)
LENGTH = 6
KNOWN = range(1, 7)
#: Six persons before two cameras; person 7 is found before the query's camera alone, person 8 nowhere.
QUERY = [(8, 1)] + [(pid, cam) for pid in KNOWN for cam in (1, 2)] + [(7, 1)]
#: Two shots of each before three cameras; distractors; junk that looks like the persons.
GALLERY = [(pid, cam) for pid in KNOWN for cam in (1, 2, 3) for _ in range(2)] + [(7, 1)] + [(0, 2)] * 4 + [(-1, 3)] * 6
VALID = list(range(1, 13))


def make_side(who: Sequence[tuple[int, int]], name: str, noise: float = 32.0) -> Side:
    """A prototype a person, noise an image, 8 bits."""
    looks = np.random.default_rng(0).uniform(70, 185, (9, *SIZE))
    rng = np.random.default_rng([*name.encode()])
    pixels = []
    for place, (pid, _) in enumerate(who):
        look = looks[pid] if pid > 0 else looks[1 + place % 6] if pid < 0 else rng.uniform(70, 185, SIZE)
        pixels.append((look + rng.normal(0, noise if pid >= 0 else 1.0, SIZE)).clip(0, 255).round())
    pids, cams = (np.array(column, dtype=np.int64) for column in zip(*who, strict=True))
    images = torch.from_numpy(np.stack(pixels).astype(np.uint8))
    paths = tuple(Path(name, f"{pid:04d}_c{cam}_{place:03d}.png") for place, (pid, cam) in enumerate(who))
    return Side(paths, pids, cams, Photos(images, pids))


def pixels_of(side: Side) -> Tensor:
    """All images of a side, as numbers in [0, 1]."""
    return torch.stack([side.photos[row].image for row in range(len(side))])


class Linear(nn.Module):
    """Features W (x - 1/2), of length 1 if asked for."""

    def __init__(self, seed: int = 0, unit: bool = False) -> None:
        super().__init__()
        self.map = nn.Linear(int(np.prod(SIZE)), LENGTH, bias=False)
        self.map.weight.data = torch.randn(self.map.weight.shape, generator=torch.Generator().manual_seed(seed))
        self.unit = unit

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.map(x.flatten(1) - 0.5)
        return nn.functional.normalize(out, dim=1) if self.unit else out


def naive_distances(model: Linear, query: Tensor, gallery: Tensor) -> list[list[float]]:
    """Squared Euclidean distances in double precision from pixels."""
    left, right = (naive_features(model, side) for side in (query, gallery))
    return ((left[:, None] - right[None]) ** 2).sum(2).tolist()


def naive_features(model: Linear, pixels: Tensor) -> np.ndarray:
    """What the embedding is meant to give, in double precision."""
    found = (pixels.double().numpy().reshape(len(pixels), -1) - 0.5) @ model.map.weight.detach().double().numpy().T
    return found / np.linalg.norm(found, axis=1, keepdims=True) if model.unit else found


def naive_columns(
    distances: Sequence[Sequence[float]],
    query: Side,
    gallery: Side,
    rows: Sequence[int] | None = None,
    form: str = "standard",
    cameras: bool = True,
) -> dict[str, list[float]]:
    """Rank-1, average precision and inverse negative penalty of queries (all with a match if not said otherwise)."""
    cams = (query.cams, gallery.cams) if cameras else (np.full(len(query), -5), np.full(len(gallery), -6))
    pids = query.pids, gallery.pids
    who = [list(zip(ids.tolist(), one.tolist(), strict=True)) for ids, one in zip(pids, cams, strict=True)]
    scores = score(distances, *who, -1)
    found = [scores[row] for row in rows] if rows is not None else [one for one in scores if one is not None]
    return {
        "rank1": [float(one["first"] == 0) for one in found],
        "ap": [one[form] for one in found],
        "inp": [one["inp"] for one in found],
        "first": [one["first"] for one in found],
    }
