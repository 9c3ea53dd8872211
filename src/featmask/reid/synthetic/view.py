"""How a body is seen: its pose, and where its places fall in the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from .canvas import Point

Place = tuple[float, float, float]


@dataclass(frozen=True)
class Pose:
    """How a person is seen in one shot.

    Attributes:
        facing: 0 looks into the camera, pi away from it, radians.
        phase: of the walk, radians.
        stride: largest angle of a thigh, radians.
        elbow: bend of the elbows, radians.
        lean: of the trunk, forward, radians.
        pitch: how steeply the camera looks down, radians.
        depth: how much nearer things are enlarged.
    """

    facing: float
    phase: float
    stride: float
    elbow: float
    lean: float
    pitch: float
    depth: float


@dataclass(frozen=True)
class View:
    """From a body's coordinates (right, up, forward; the stature is 1) to pixels."""

    pose: Pose
    x: float
    y: float
    scale: float

    @cached_property
    def turns(self) -> tuple[float, float, float, float]:
        """Cosine and sine of the facing and of the pitch, computed once: every place needs them."""
        facing, pitch = self.pose.facing, self.pose.pitch
        return math.cos(facing), math.sin(facing), math.cos(pitch), math.sin(pitch)

    def near(self, place: Place) -> float:
        """How near a place is to the camera."""
        x, y, z = place
        cf, sf, cp, sp = self.turns
        return (z * cf - x * sf) * cp + (y - 0.5) * sp

    def flat(self, place: Place) -> Point:
        """Where a place lies in the picture, in pixels."""
        x, y, z = place
        cf, sf, cp, sp = self.turns
        right, front = x * cf + z * sf, z * cf - x * sf
        grow = 1.0 + self.pose.depth * self.near(place)
        up = (y - 0.5) * cp - front * sp
        return self.x + right * grow * self.scale, self.y - up * grow * self.scale

    def size(self, length: float, place: Place) -> float:
        """A length at a place, in pixels."""
        return length * self.scale * (1.0 + self.pose.depth * self.near(place))

    def half(self, wide: float, deep: float, place: Place) -> float:
        """Half the width, in pixels, of an elliptic cross-section that is turned."""
        facing = self.pose.facing
        return self.size(math.hypot(wide * math.cos(facing), deep * math.sin(facing)), place)
