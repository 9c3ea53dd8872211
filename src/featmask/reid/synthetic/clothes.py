"""What clothes, faces and bags look like at a place on the body, whichever side is seen."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .canvas import Floats, Paint, mix, plain
from .people import Person


def around(u: Floats, facing: float) -> Floats:
    """Longitude on the body (0 is the front, radians from -pi to pi) of what is seen at u by a camera."""
    longitude = np.arcsin(u) - np.float32(facing)
    return np.asarray((longitude + math.pi) % (2 * math.pi) - math.pi, dtype=np.float32)


def upper(person: Person, facing: float) -> Paint:
    """The upper garment, over the chest, the back and as far down as it reaches."""
    reach = 0.85 - person.hem

    def paint(u: Floats, v: Floats) -> Floats:
        where = around(u, facing)
        # heights in a common unit, so that stripes have one width on long and short garments
        down = v * np.float32(reach / 0.36)
        colours = patterned(person, where, down)
        front = np.abs(where)
        if person.upper in ("jacket", "coat"):
            opening = 0.05 if person.upper == "jacket" else 0.16 + 0.10 * person.logo
            colours = mix(front < opening * (0.6 + down), person.inner, colours)
            colours = mix((front < 0.55 - down) & (down < 0.28), np.multiply(person.top, 0.7), colours)
        elif person.upper == "shirt":
            colours = mix((front < 0.04) | ((front < 0.5) & (down < 0.06)), np.multiply(person.top, 0.72), colours)
        elif person.upper in ("tee", "vest", "dress"):
            colours = mix((front < 0.55) & (down < 0.10 - 0.12 * front), person.skin, colours)
        if person.upper == "dress":
            colours = mix(np.abs(down - 0.86) < 0.03, np.multiply(person.accent, 0.8), colours)
        return straps(person, where, down, colours)

    return paint


def patterned(person: Person, where: Floats, down: Floats) -> Floats:
    """The cloth itself at longitude ``where`` and height ``down``."""
    base, accent = person.top, person.accent
    across = (down * person.pitch) % 1.0 < 0.5
    along = (where * person.pitch / 1.6) % 1.0 < 0.5
    if person.pattern == "across":
        return mix(across, accent, base)
    if person.pattern == "along":
        return mix(along, accent, base)
    if person.pattern == "checks":
        both: Floats = (mix(across, accent, base) + mix(along, accent, base)) * np.float32(0.5)
        return both
    if person.pattern == "logo":
        return mix(emblem(person.logo, where, down), accent, base)
    if person.pattern == "band":
        return mix((down > 0.30) & (down < 0.52), accent, base)
    return mix(np.zeros(down.shape, dtype=np.bool_), accent, base)


def emblem(kind: int, where: Floats, down: Floats) -> npt.NDArray[np.bool_]:
    """One of four emblems: a block, a badge, bars, or a big print on the back."""
    x, y = where, down - np.float32(0.42)
    seen: npt.NDArray[np.bool_]
    if kind == 0:
        seen = (np.abs(x) < 0.55) & (np.abs(y) < 0.13)
    elif kind == 1:
        seen = x * x / 0.36 + y * y / 0.035 < 1.0
    elif kind == 2:
        seen = (np.abs(x) < 0.6) & (np.abs(y) < 0.17) & ((y * 11.0) % 1.0 < 0.5)
    else:
        seen = (np.abs(np.abs(x) - math.pi) < 0.6) & (np.abs(y) < 0.2)
    return seen


def straps(person: Person, where: Floats, down: Floats, colours: Floats) -> Floats:
    """Straps of a backpack (on both sides of the chest) or of a shoulder bag (aslant) over ``colours``."""
    if person.bag == "backpack":
        return mix((np.abs(np.abs(where) - 0.62) < 0.13) & (down < 0.62), person.bag_colour, colours)
    if person.bag == "shoulder":
        line = np.abs(np.sin(where * 0.5 + 0.4 * person.side) - person.side * (down - 0.42) * 1.2) < 0.07
        return mix(line & (down < 0.95), person.bag_colour, colours)
    return colours


def sleeve(person: Person, part: int) -> Paint:
    """An upper arm (part 0) or forearm (1): cloth as far as the sleeve reaches, then skin."""
    ends = person.sleeve - part
    coloured = person.accent if person.pattern == "sleeves" else person.top
    if ends <= 0.0:
        return plain(person.skin)

    def paint(u: Floats, v: Floats) -> Floats:
        if person.pattern not in ("across", "checks"):
            return mix(v < ends, coloured, person.skin)
        cloth = mix((v * person.pitch * 0.5 + 0.1) % 1.0 < 0.5, person.accent, coloured)
        if person.pattern == "checks":
            cloth = (cloth + np.array(coloured, np.float32)) * np.float32(0.5)
        return mix(v < ends, cloth, person.skin)

    return paint


def leg(person: Person, part: int) -> Paint:
    """A thigh (part 0) or shin (1): trousers, shorts, or bare under a skirt."""
    bare = person.lower == "skirt" or person.upper == "dress"
    ends = (0.0 if bare else {"shorts": 0.85}.get(person.lower, 2.0)) - part
    if ends >= 1.0 and not person.stripe:
        return plain(person.bottom)

    def paint(u: Floats, v: Floats) -> Floats:
        below = mix(v > 0.82, person.socks, person.skin) if part else np.array(person.skin, np.float32)
        cloth = np.array(person.bottom, np.float32)
        if person.stripe:
            cloth = mix(np.abs(u) > 0.62, person.accent, cloth)
        return mix(v < ends, cloth, below)

    return paint


def head(person: Person, facing: float) -> Paint:
    """A face in front, hair around it, a hat on top."""

    def paint(u: Floats, v: Floats) -> Floats:
        where = np.abs(around(u, facing))
        hairy = (v < 0.24) | ((where > 1.05) & (v < (0.95 if person.hair_style == "long" else 0.72)))
        if person.hair_style == "bald":
            hairy = (where > 1.6) & (v > 0.35) & (v < 0.7)
        face = mix((where < 0.75) & (np.abs(v - 0.47) < 0.06), np.multiply(person.skin, 0.72), person.skin)
        colours = mix(hairy, person.hair, face)
        if person.hat == "cap":
            colours = mix((v < 0.34) | ((v < 0.42) & (where < 0.9)), person.hat_colour, colours)
        elif person.hat == "beanie":
            colours = mix(v < 0.40, person.hat_colour, colours)
        elif person.hat == "hood":
            colours = mix((where > 0.8) | (v < 0.2), person.top, colours)
        return colours

    return paint


def backpack(person: Person) -> Paint:
    """A rucksack with a flap and a pocket."""

    def paint(u: Floats, v: Floats) -> Floats:
        base = np.array(person.bag_colour, np.float32)
        colours = mix(np.abs(v - 0.36) < 0.035, base * np.float32(0.5), base)
        pocket = (np.abs(u) < 0.55) & (v > 0.52) & (v < 0.86)
        return mix(pocket, base * np.float32(1.25), colours)

    return paint
