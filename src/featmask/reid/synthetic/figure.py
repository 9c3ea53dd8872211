"""A walking person: joints in space, turned and seen from above, clothed and painted from far to near."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from . import clothes
from .canvas import Canvas, Paint, plain
from .people import Person
from .view import Place, View

Part = tuple[float, Callable[[], None]]


def paint_person(canvas: Canvas, person: Person, view: View) -> None:
    """Paint a person; ``view`` says where and from where."""
    parts = [part for draw in (_legs, _arms, _trunk, _head, _bag) for part in draw(canvas, person, view)]
    for _, part in sorted(parts, key=lambda item: item[0]):
        part()


def _legs(canvas: Canvas, person: Person, view: View) -> list[Part]:
    parts: list[Part] = []
    under = -0.3  # whatever the step, hems hang over thighs
    for side in (-1, 1):
        phase, stride = view.pose.phase + (0.0 if side > 0 else math.pi), view.pose.stride
        thigh, knee = stride * math.sin(phase), stride * (0.35 + 0.9 * max(0.0, math.cos(phase)))
        hip = (side * 0.052 * person.girth, 0.52, 0.0)
        knee_at = (hip[0] * 1.05, hip[1] - 0.245 * math.cos(thigh), 0.245 * math.sin(thigh))
        shin = thigh - knee
        ankle = (hip[0] * 0.95, knee_at[1] - 0.235 * math.cos(shin), knee_at[2] + 0.235 * math.sin(shin))
        toe = (ankle[0] * 1.35, ankle[1] - 0.018 - 0.03 * max(0.0, -shin), ankle[2] + 0.095)
        heel = (ankle[0], ankle[1] - 0.012, ankle[2])
        wide = 0.056 * person.girth
        loose = 0.043 if person.lower == "trousers" else 0.031
        parts += [
            _limb(canvas, view, hip, knee_at, wide, 0.042 * person.girth, clothes.leg(person, 0), under),
            _limb(canvas, view, knee_at, ankle, 0.040 * person.girth, loose * 0.8, clothes.leg(person, 1), under),
            _limb(canvas, view, heel, toe, 0.027, 0.021, plain(person.shoes), under + 0.01),
        ]
    return parts


def _arms(canvas: Canvas, person: Person, view: View) -> list[Part]:
    parts: list[Part] = []
    for side in (-1, 1):
        swing = -1.1 * view.pose.stride * math.sin(view.pose.phase + (0.0 if side > 0 else math.pi))
        shoulder = (side * 0.105 * person.shoulders * (0.6 + 0.4 * person.girth), 0.80, 0.02 * view.pose.lean)
        out = side * 0.03
        elbow = (shoulder[0] + out, shoulder[1] - 0.165 * math.cos(swing), 0.165 * math.sin(swing))
        bent = swing + view.pose.elbow
        wrist = (elbow[0] - out * 0.3, elbow[1] - 0.145 * math.cos(bent), elbow[2] + 0.145 * math.sin(bent))
        hand = (wrist[0], wrist[1] - 0.03 * math.cos(bent), wrist[2] + 0.03 * math.sin(bent))
        # the far arm swings behind the legs
        beyond = -0.4 if view.near((shoulder[0], 0.5, shoulder[2])) < -0.05 else 0.0
        thick = (0.036 if person.upper in ("jacket", "coat") else 0.031) * (0.5 + 0.5 * person.girth)
        parts += [
            _limb(canvas, view, shoulder, elbow, thick * 1.15, thick, clothes.sleeve(person, 0), beyond + 0.02),
            _limb(canvas, view, elbow, wrist, thick * 0.95, thick * 0.72, clothes.sleeve(person, 1), beyond + 0.03),
            _limb(canvas, view, wrist, hand, 0.018, 0.016, plain(person.skin), beyond + 0.02),
        ]
        if person.bag == "hand" and side == person.side:
            place = (hand[0] + side * 0.01, hand[1] - 0.075, hand[2])
            parts.append(_box(canvas, person, view, place, 0.058 * person.bag_size, 0.062 * person.bag_size, 0.03))
    return parts


def _limb(
    canvas: Canvas, view: View, start: Place, end: Place, r0: float, r1: float, paint: Paint, nearer: float
) -> Part:
    middle = tuple((a + b) / 2 for a, b in zip(start, end, strict=True))
    depth = view.near((middle[0], 0.5, middle[2])) + nearer
    sizes = view.size(r0, start), view.size(r1, end)
    return depth, lambda: canvas.limb(view.flat(start), view.flat(end), *sizes, paint)


def _trunk(canvas: Canvas, person: Person, view: View) -> list[Part]:
    girth, wide = person.girth, 0.6 * person.shoulders + 0.4 * person.girth
    # heights, half widths from the front and from the side
    profile = [
        (0.858, 0.036, 0.036),
        (0.836, 0.078 * wide, 0.046),
        (0.816, 0.106 * wide, 0.056),
        (0.780, 0.112 * wide, 0.068 * girth),
        (0.680, 0.100 * girth, 0.074 * girth),
        (0.600, 0.094 * girth, 0.070 * girth),
        (0.520, 0.104 * girth, 0.074 * girth),
    ]
    flare = {"coat": 0.20, "dress": 0.28}.get(person.upper, 0.05)
    hem = min(person.hem, 0.50)
    profile.append((hem, 0.104 * girth * (1 + flare), 0.078 * girth * (1 + flare)))
    parts: list[Part] = [_rows(canvas, view, profile, clothes.upper(person, view.pose.facing), 0.0)]
    if person.lower == "skirt" and person.upper != "dress":
        skirt = [(0.53, 0.098 * girth, 0.072 * girth), (0.48, 0.11 * girth, 0.08 * girth), (0.31, 0.135, 0.11)]
        parts.append(_rows(canvas, view, skirt, plain(person.bottom), -0.001))
    elif person.upper != "dress":
        seat = [(0.54, 0.096 * girth, 0.070 * girth), (0.46, 0.100 * girth, 0.072 * girth)]
        parts.append(_rows(canvas, view, seat, plain(person.bottom), -0.002))
    return parts


def _rows(canvas: Canvas, view: View, profile: list[tuple[float, float, float]], paint: Paint, nearer: float) -> Part:
    lean = math.tan(view.pose.lean)
    places = [(0.0, height, max(height - 0.5, 0.0) * lean) for height, _, _ in profile]
    spots = [view.flat(place) for place in places]
    halves = [view.half(wide, deep, place) for (_, wide, deep), place in zip(profile, places, strict=True)]
    return nearer, lambda: canvas.trunk([y for _, y in spots], [x for x, _ in spots], halves, paint)


def _head(canvas: Canvas, person: Person, view: View) -> list[Part]:
    lean = 0.42 * math.tan(view.pose.lean)
    centre = (0.0, 0.925, lean + 0.012)
    x, y = view.flat(centre)
    high, wide = view.size(0.073, centre), view.half(0.052, 0.062, centre)
    steps = np.linspace(-1.0, 1.0, 9)
    outline = [wide * math.sqrt(max(0.0, 1.0 - step * step)) for step in steps]
    rows = [y + high * step for step in steps]
    paint = clothes.head(person, view.pose.facing)
    neck = _limb(canvas, view, (0.0, 0.83, lean), (0.0, 0.89, lean), 0.030, 0.028, plain(person.skin), 0.001)
    parts: list[Part] = [neck, (0.05, lambda: canvas.trunk(rows, [x] * 9, outline, paint, cloth=False))]
    if person.hair_style == "long" and person.hat != "hood":
        back = (0.0, 0.87, lean - 0.055)
        below = (0.0, 0.815, lean - 0.06)
        parts.append(_limb(canvas, view, back, below, 0.047, 0.034, plain(person.hair), _above(view, 0.07)))
    elif person.hair_style == "tail" and person.hat != "hood":
        knot, tip = (0.0, 0.94, lean - 0.065), (0.0, 0.86, lean - 0.085)
        parts.append(_limb(canvas, view, knot, tip, 0.022, 0.014, plain(person.hair), _above(view, 0.07)))
    return parts


def _above(view: View, step: float) -> float:
    """Lift what is on the back over the head where the back is seen, and push it behind where the face is seen."""
    return -step if math.cos(view.pose.facing) > 0 else step


def _bag(canvas: Canvas, person: Person, view: View) -> list[Part]:
    size = person.bag_size
    if person.bag == "backpack":
        place = (0.0, 0.70, -0.115 * person.girth)
        x, y = view.flat(place)
        half, high = view.half(0.085 * size, 0.06 * size, place), view.size(0.12 * size, place)
        rows = [y - high, y - high * 0.75, y, y + high * 0.9, y + high]
        halves = [half * 0.6, half * 0.95, half, half, half * 0.8]
        paint = clothes.backpack(person)
        return [(_above(view, 0.045), lambda: canvas.trunk(rows, [x] * 5, halves, paint))]
    if person.bag == "shoulder":
        place = (person.side * 0.115 * person.girth, 0.50, 0.01)
        return [_box(canvas, person, view, place, 0.055 * size, 0.058 * size, 0.04)]
    return []


def _box(canvas: Canvas, person: Person, view: View, place: Place, wide: float, high: float, nearer: float) -> Part:
    x, y = view.flat(place)
    # bags hang along the body: widest from the side
    half, tall = view.half(wide * 0.5, wide, place), view.size(high, place)
    paint = plain(person.bag_colour)
    depth = view.near((place[0], 0.5, place[2])) + nearer
    return depth, lambda: canvas.trunk([y - tall, y - 0.6 * tall, y + tall], [x] * 3, [half * 0.8, half, half], paint)
