"""What the two domains differ in: clothes, light, camera heights, scenes, occlusion."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[float, float, float]

#: Garment colours that many people share; a person's own shade varies a little around them.
COLOURS: dict[str, Colour] = {
    "black": (0.10, 0.10, 0.11),
    "charcoal": (0.24, 0.24, 0.26),
    "grey": (0.50, 0.50, 0.52),
    "white": (0.88, 0.88, 0.86),
    "navy": (0.13, 0.17, 0.34),
    "denim": (0.30, 0.40, 0.58),
    "red": (0.70, 0.15, 0.16),
    "khaki": (0.62, 0.54, 0.40),
    "brown": (0.36, 0.25, 0.18),
    "green": (0.22, 0.40, 0.26),
    "pink": (0.84, 0.55, 0.60),
    "yellow": (0.85, 0.72, 0.26),
    "sky": (0.52, 0.70, 0.86),
}
SKINS: tuple[Colour, ...] = (
    (0.90, 0.73, 0.62),
    (0.82, 0.62, 0.50),
    (0.70, 0.50, 0.38),
    (0.52, 0.36, 0.27),
    (0.36, 0.25, 0.19),
)
HAIRS: tuple[Colour, ...] = (
    (0.08, 0.07, 0.07),
    (0.18, 0.13, 0.10),
    (0.36, 0.24, 0.15),
    (0.66, 0.52, 0.32),
    (0.58, 0.57, 0.56),
    (0.50, 0.22, 0.12),
)

Weights = dict[str, float]


@dataclass(frozen=True)
class Domain:
    """One world's tendencies; pairs are ranges that a camera or a shot draws from.

    Attributes:
        tops, bottoms: weights of the colours of upper and lower garments.
        uppers, lowers, hats, bags: weights of their kinds.
        scenes: what the cameras look at, in turn.
        pitch: how steeply cameras look down, degrees.
        gain, gamma, haze: brightness factor, exponent, and how much grey veil lies over a picture.
        casts: colour casts (red, green, blue factors), in turn.
        ambient: share of light without direction.
        noise: standard deviation, in 1/255.
        blur: standard deviation of the lens, in pixels at a height of 128.
        quality: JPEG quality of the camera's stream.
        occluded: share of shots with something in front.
    """

    tops: Weights
    bottoms: Weights
    uppers: Weights
    lowers: Weights
    hats: Weights
    bags: Weights
    scenes: tuple[str, ...]
    pitch: tuple[float, float]
    gain: tuple[float, float]
    gamma: tuple[float, float]
    haze: tuple[float, float]
    casts: tuple[Colour, ...]
    ambient: tuple[float, float]
    noise: tuple[float, float]
    blur: tuple[float, float]
    quality: tuple[int, int]
    occluded: float


DOMAINS = {
    "a": Domain(
        tops={
            "white": 20, "black": 16, "grey": 12, "charcoal": 6, "navy": 10, "denim": 6, "red": 9, "khaki": 4,
            "green": 5, "pink": 6, "yellow": 4, "sky": 6,
        },
        bottoms={"black": 24, "charcoal": 12, "grey": 8, "navy": 16, "denim": 24, "khaki": 10, "white": 4, "brown": 4},
        uppers={"tee": 38, "shirt": 26, "jacket": 14, "coat": 4, "dress": 10, "vest": 8},
        lowers={"trousers": 52, "shorts": 28, "skirt": 20},
        hats={"none": 86, "cap": 14},
        bags={"none": 36, "backpack": 30, "shoulder": 18, "hand": 16},
        scenes=("paving", "lawn", "wall", "railings", "road"),
        pitch=(6.0, 24.0),
        gain=(0.95, 1.07),
        gamma=(0.94, 1.06),
        haze=(0.0, 0.05),
        casts=((1.0, 1.0, 1.0), (1.02, 1.0, 0.97), (0.98, 1.0, 1.02), (1.0, 1.015, 0.98), (1.015, 0.99, 1.0)),
        ambient=(0.54, 0.68),
        noise=(2.0, 6.0),
        blur=(0.35, 0.95),
        quality=(62, 88),
        occluded=0.22,
    ),
    "b": Domain(
        tops={"black": 34, "charcoal": 18, "navy": 14, "grey": 9, "khaki": 6, "brown": 9, "red": 4, "green": 6},
        bottoms={"black": 42, "charcoal": 18, "navy": 16, "denim": 16, "brown": 8},
        uppers={"jacket": 40, "coat": 44, "shirt": 10, "vest": 6},
        lowers={"trousers": 86, "skirt": 14},
        hats={"none": 56, "cap": 10, "beanie": 22, "hood": 12},
        bags={"none": 40, "backpack": 22, "shoulder": 20, "hand": 18},
        scenes=("night", "snow", "arcade", "tiles"),
        pitch=(20.0, 38.0),
        gain=(0.62, 0.84),
        gamma=(0.98, 1.18),
        haze=(0.02, 0.10),
        casts=((0.90, 0.98, 1.14), (1.12, 0.98, 0.82), (0.94, 1.02, 1.06), (0.96, 0.97, 1.10)),
        ambient=(0.34, 0.60),
        noise=(5.0, 11.0),
        blur=(0.6, 1.25),
        quality=(42, 72),
        occluded=0.40,
    ),
}  # fmt: skip
