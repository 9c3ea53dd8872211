"""A camera: what stays the same in all its pictures, and what it does to what it sees."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ...errors import require
from .canvas import Floats
from .domains import DOMAINS, Colour
from .scenes import panorama
from .world import CAMERA, World


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera of a world.

    Attributes:
        pitch: how steeply it looks down, radians.
        facing: the side of people that it mostly sees (0: their front), radians.
        spread: how much that varies, radians.
        gain, gamma, haze, cast: brightness factor, exponent, grey veil, colour factors.
        light, ambient: direction to the light, and the share of light without direction.
        noise, blur, quality: sensor noise (1/255), lens blur (pixels at a height of 128), JPEG quality.
        backdrop: (2 height, several widths, 3), what stands behind people.
        mood: random parameters of the scene's foreground, 0 to 1.
    """

    pitch: float
    facing: float
    spread: float
    gain: float
    gamma: float
    haze: float
    cast: Colour
    light: tuple[float, float, float]
    ambient: float
    noise: float
    blur: float
    quality: int
    backdrop: npt.NDArray[np.uint8]
    mood: tuple[float, ...]


@lru_cache(maxsize=128)  # 2 MB each at 128 x 64, and a tenth of a second to draw
def camera_of(world: World, number: int) -> Camera:
    """Camera ``number`` (from 1) of a world; it depends on the world's domain, seed and picture size alone."""
    domain, rng = DOMAINS[world.domain], world.stream(CAMERA, number)
    slant = rng.uniform(-0.7, 0.7)
    lift = rng.uniform(0.2, 0.6)
    length = float(np.sqrt(slant**2 + lift**2 + 0.64))
    cast = np.array(domain.casts[(number - 1) % len(domain.casts)]) * rng.normal(1.0, 0.015, 3)
    pitch = float(rng.uniform(*domain.pitch))
    ranges = ("gain", "gamma", "haze", "ambient", "noise", "blur")
    return Camera(
        pitch=math.radians(pitch),
        facing=math.radians((0, 180, 75, 215, 320, 120)[(number - 1) % 6]),
        spread=math.radians(34),
        **{name: float(rng.uniform(*getattr(domain, name))) for name in ranges},
        cast=(float(cast[0]), float(cast[1]), float(cast[2])),
        light=(slant / length, lift / length, 0.8 / length),
        quality=int(rng.integers(domain.quality[0], domain.quality[1] + 1)),
        # all cameras see all kinds of places: what is behind people must not give the camera away
        backdrop=panorama(world, number, domain.scenes, pitch),
        mood=tuple(rng.random(3).tolist()),
    )


def _shoulder(light: Floats) -> Floats:
    """A sensor saturates softly: above 0.7 it approaches 1."""
    knee = np.float32(0.7)
    over = np.maximum(light - knee, np.float32(0.0))
    return np.asarray(np.minimum(light, knee) + (1 - knee) * (1 - np.exp(-over / (1 - knee))), dtype=np.float32)


def expose(camera: Camera, pixels: Floats, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """What a camera makes of a scene: light, lens, sensor and codec.

    Args:
        camera: through which it is seen.
        pixels: (2 height, 2 width, 3), 0 to 1, at twice the picture's size.
        rng: gives the shot's own light and noise.

    Returns:
        (height, width, 3).
    """
    image, blur = require("PIL.Image", "train"), require("PIL.ImageFilter", "train")
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    # four slices: a mean over two axes takes ten times as long
    small = (pixels[::2, ::2] + pixels[1::2, ::2] + pixels[::2, 1::2] + pixels[1::2, 1::2]) * np.float32(0.25)
    gain = camera.gain * float(np.exp(rng.normal(0.0, 0.06)))
    tint = np.array(camera.cast) * rng.normal(1.0, 0.015, 3)
    fall = np.linspace(rng.uniform(-0.10, 0.10), rng.uniform(-0.10, 0.10), height)[:, None, None]
    small = np.maximum(small, 0.0) * (gain * tint * (1.0 + fall)).astype(np.float32)
    small = _shoulder(small) ** np.float32(camera.gamma)
    # nothing is fully black through haze
    small = small * np.float32(1.0 - camera.haze) + np.float32(0.55 * camera.haze)
    lens = camera.blur * height / 128 * float(rng.uniform(0.7, 1.3))
    frame = image.fromarray((np.clip(small, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))
    sharp = np.asarray(frame.filter(blur.GaussianBlur(lens)), dtype=np.float32)
    grain = rng.standard_normal((height, width, 3), dtype=np.float32)
    # mostly brightness noise, as after a sensor's colour filter
    grain = grain * np.float32(0.45) + grain[..., :1] * np.float32(0.8)
    noisy = np.clip(sharp + grain * np.float32(camera.noise) + 0.5, 0.0, 255.0).astype(np.uint8)
    stream = io.BytesIO()
    image.fromarray(noisy).save(stream, "JPEG", quality=camera.quality)
    return np.asarray(image.open(stream).convert("RGB"))
