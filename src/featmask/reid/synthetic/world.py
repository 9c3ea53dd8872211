"""What is rendered, and the random streams that it is rendered from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ...errors import FeatmaskError

#: Raised whenever the same parameters give other pictures, so that a cache never serves old ones.
FORMAT = 5

#: Streams of random numbers; the numbers behind a kind (identity, camera, shot) make a picture depend on itself alone.
PERSON, EXTRA, CAMERA, SCENE, SHOT, EXTRA_SHOT, JUNK, SEEN = range(8)


@dataclass(frozen=True)
class World:
    """A rendered set of pedestrians; equal worlds give equal bytes under one version of Pillow and NumPy.

    Attributes:
        domain: ``"a"`` (daylight, summer clothes) or ``"b"`` (evening and winter: other cameras, light, scenes and
            clothes); training on one and scoring on the other is a domain shift.
        train_ids: identities of the training part, with even numbers.
        test_ids: identities of query and gallery, with odd numbers.
        cameras: number of cameras; everyone is seen by at least two of them.
        shots: pictures of an identity by a camera, in training and in the gallery; the query has one more.
        distractors: gallery pictures of people who are no query (pid 0000).
        junk: gallery pictures of bad boxes (pid -1): parts of bodies, background.
        height, width: of a picture, in pixels.
        seed: other seeds give other people, cameras and scenes.

    Raises:
        FeatmaskError: a value that cannot be rendered or named in the Market-1501 layout.
    """

    domain: str = "a"
    train_ids: int = 120
    test_ids: int = 80
    cameras: int = 4
    shots: int = 3
    distractors: int = 120
    junk: int = 60
    height: int = 128
    width: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.domain not in ("a", "b"):
            raise FeatmaskError(f"domain: expected 'a' or 'b', got {self.domain!r}")
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise FeatmaskError(f"{name}: expected a whole number from {low} to {high}, got {value!r}")

    def parameters(self) -> dict[str, str | int]:
        """Every parameter by its name, as ``RENDERED.json`` holds them."""
        return asdict(self)

    def stream(self, kind: int, *numbers: int) -> np.random.Generator:
        """The generator of what ``kind`` and ``numbers`` name; it does not depend on what else is rendered."""
        return np.random.default_rng([self.seed, ord(self.domain), kind, *numbers])


def make_world(options: Mapping[str, Any]) -> World:
    """A world from parameters by name, as a recipe or the command line gives them.

    Raises:
        FeatmaskError: an unknown parameter, or a value that cannot be rendered.
    """
    known = [field.name for field in fields(World)]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise FeatmaskError(f"world: unknown parameters {unknown}; expected some of: {', '.join(known)}")
    return World(**options)


#: Four digits hold an identity's number, two a camera's or a box's, six a frame's.
_LIMITS = {
    "train_ids": (1, 4999),
    "test_ids": (1, 4999),
    "cameras": (2, 99),
    "shots": (1, 98),
    "distractors": (0, 39_000),
    "junk": (0, 39_000),
    "height": (32, 1024),
    "width": (16, 1024),
    "seed": (0, 2**32 - 1),
}


def seen_by(world: World, pid: int) -> list[int]:
    """Cameras (from 1) that see an identity: two at least, the others with three chances in four."""
    rng = world.stream(SEEN, pid)
    order = rng.permutation(world.cameras)
    luck = rng.random(world.cameras) < 0.75
    return sorted(int(camera) + 1 for place, camera in enumerate(order) if place < 2 or luck[place])
