"""Who is seen: everything that stays the same from picture to picture of a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .domains import COLOURS, DOMAINS, HAIRS, SKINS, Colour, Weights
from .world import World

PATTERNS: Weights = {"plain": 44, "across": 13, "along": 7, "checks": 8, "logo": 16, "band": 6, "sleeves": 6}


@dataclass(frozen=True)
class Person:
    """An identity's body and clothes; lengths are factors of the average.

    Attributes:
        girth, shoulders, leg: widths and the length of the legs.
        skin, hair, hair_style: ``"short"``, ``"bald"``, ``"long"``, ``"tail"``.
        hat, hat_colour: ``"none"``, ``"cap"``, ``"beanie"``, ``"hood"``.
        upper: kind of the upper garment; ``top``, ``accent`` and ``inner`` are its colours.
        pattern, pitch, logo: what is on it, how fine, and which emblem.
        sleeve: how far sleeves reach down the arm, 0 to 2 (elbow at 1).
        hem: where the upper garment ends, as a share of the stature.
        lower, bottom, stripe: kind and colour of the lower garment, and whether it has side stripes.
        shoes, socks: colours of both.
        bag, bag_colour, bag_size: ``"none"``, ``"backpack"``, ``"shoulder"``, ``"hand"``.
        side: -1 or 1, where a bag is carried.
    """

    girth: float
    shoulders: float
    leg: float
    skin: Colour
    hair: Colour
    hair_style: str
    hat: str
    hat_colour: Colour
    upper: str
    top: Colour
    accent: Colour
    inner: Colour
    pattern: str
    pitch: float
    logo: int
    sleeve: float
    hem: float
    lower: str
    bottom: Colour
    stripe: bool
    shoes: Colour
    socks: Colour
    bag: str
    bag_colour: Colour
    bag_size: float
    side: int


def draw_person(world: World, rng: np.random.Generator) -> Person:
    """Draw an identity from its domain's tendencies."""
    domain = DOMAINS[world.domain]
    upper = pick(rng, domain.uppers)
    lower = pick(rng, domain.lowers)
    top = colour(rng, domain.tops)
    pattern = pick(rng, PATTERNS)
    sleeve = {"tee": 0.75, "vest": 0.0, "dress": 0.45}.get(upper, 1.95)
    if upper == "shirt" and rng.random() < 0.3:
        sleeve = 1.1
    hem = {"coat": rng.uniform(0.26, 0.40), "dress": rng.uniform(0.26, 0.36)}.get(upper, rng.uniform(0.455, 0.50))
    return Person(
        girth=float(np.clip(rng.normal(1.0, 0.13), 0.75, 1.4)),
        shoulders=float(np.clip(rng.normal(1.0, 0.07), 0.85, 1.15)),
        leg=float(rng.uniform(0.95, 1.05)),
        skin=jitter(rng, SKINS[rng.integers(len(SKINS))], 0.03),
        hair=jitter(rng, HAIRS[int(rng.choice(6, p=(0.38, 0.27, 0.15, 0.08, 0.08, 0.04)))], 0.02),
        hair_style=pick(rng, {"short": 52, "bald": 5, "long": 27, "tail": 16}),
        hat=pick(rng, domain.hats),
        hat_colour=colour(rng, domain.tops),
        upper=upper,
        top=top,
        accent=other_than(rng, top),
        inner=colour(rng, {"white": 3, "grey": 2, "black": 2, "red": 1, "sky": 1}),
        pattern="plain" if upper == "coat" and pattern in ("across", "along", "band") else pattern,
        pitch=float(rng.choice((3.0, 4.0, 5.5, 7.0))),
        logo=int(rng.integers(4)),
        sleeve=sleeve,
        hem=float(hem),
        lower=lower,
        bottom=colour(rng, domain.bottoms),
        stripe=bool(rng.random() < 0.12),
        shoes=colour(rng, {"black": 42, "white": 26, "brown": 14, "grey": 10, "red": 4, "navy": 4}),
        socks=colour(rng, {"white": 50, "black": 40, "grey": 10}),
        bag=pick(rng, domain.bags),
        bag_colour=colour(rng, {"black": 38, "navy": 14, "grey": 12, "red": 10, "brown": 12, "khaki": 8, "pink": 6}),
        bag_size=float(rng.uniform(0.8, 1.2)),
        side=int(rng.choice((-1, 1))),
    )


def pick(rng: np.random.Generator, weights: Weights) -> str:
    """One name, by its weight."""
    shares = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]


def colour(rng: np.random.Generator, weights: Weights) -> Colour:
    """A named colour by its weight, in a shade of this person's."""
    return jitter(rng, COLOURS[pick(rng, weights)], 0.035)


def jitter(rng: np.random.Generator, base: Colour, spread: float) -> Colour:
    """A shade near a colour: most of the difference is brightness."""
    shade = rng.normal(0.0, spread) + rng.normal(0.0, spread * 0.4, 3)
    r, g, b = np.clip(np.array(base) + shade, 0.03, 0.95).tolist()
    return (r, g, b)


def other_than(rng: np.random.Generator, base: Colour) -> Colour:
    """A colour that stands out from ``base``."""
    names = [name for name, value in COLOURS.items() if max(abs(a - b) for a, b in zip(value, base, strict=True)) > 0.3]
    return jitter(rng, COLOURS[names[int(rng.integers(len(names)))]], 0.03)
