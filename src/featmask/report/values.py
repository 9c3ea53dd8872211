"""Values as text and as tables of text, the same on every page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ..records.figures import Figure
from ..records.names import CORRUPTIONS
from ..stats import Interval, wilson

#: Norm -> factor of a radius on an axis, the axis's label, and the label where there is little room.
UNITS = {
    "linf": (255.0, "eps (L∞), in 1/255 of the pixel range", "eps, 1/255"),
    "l2": (1.0, "eps (L2), pixels in [0, 1]", "eps"),
    "l1": (1.0, "eps (L1), pixels in [0, 1]", "eps"),
}


def exact(value: float | None) -> str:
    """In full precision; empty where there is none."""
    return "" if value is None or not math.isfinite(value) else repr(float(value))


def finite(value: Any) -> bool:
    """Whether it is a number that can be drawn."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def csv_text(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([columns, *lines])
    return buffer.getvalue()


def enumerated(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def counted_range(metric: Figure, value: float, n: int) -> Interval | None:
    """The range that ``n`` other samples would give one model (Wilson); None for what is no counted share."""
    right = round(value * n) if math.isfinite(value) else -1
    counted = metric.counted and n > 0 and 0 <= right <= n and abs(value * n - right) < 1e-6 * n
    return wilson(right, n) if counted else None


def in_groups(kinds: Collection[str]) -> list[tuple[str, list[str]]]:
    """Corruptions by group, in the published order; last those that are not published."""
    known = {kind for members in CORRUPTIONS.values() for kind in members}
    titled = {**CORRUPTIONS, "Others": [kind for kind in kinds if kind not in known]}
    found = [(title, [kind for kind in members if kind in kinds]) for title, members in titled.items()]
    return [(title, members) for title, members in found if members]


def merged(sources: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Versions and machine of several runs; where they differ, every value."""
    found: dict[str, dict[str, None]] = {}
    for source in sources:
        for key, value in source.items():
            found.setdefault(str(key), {})[str(value)] = None
    return {key: " | ".join(values) for key, values in found.items()}


def outline(value: Any, depth: int = 0) -> str:
    """A nested mapping as indented text, the way its recipe looks."""
    lines = []
    for key, inner in value.items():
        start = "  " * depth + f"{key}:"
        if isinstance(inner, Mapping) and inner:
            lines += [start, outline(inner, depth + 1)]
        elif isinstance(inner, str) and "\n" in inner.strip():
            lines += [f"{start} |", *("  " * (depth + 1) + line for line in inner.strip().splitlines())]
        else:
            lines.append(f"{start} {_scalar(inner)}".rstrip())
    return "\n".join(lines)


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_scalar(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    return str(value).strip()
