"""The doctor's checks, laid out: whether a figure can be trusted, what failed, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...records.doctor import Check, DoctorRecord
from ..values import finite

#: Verdict -> sign and place: what needs attention comes first. U+FE0E: no emoji.
VERDICTS = {"failed": "✘", "suspicious": "▲", "ok": "✔\ufe0e", "skipped": "–"}
GROUPS = ("set-up", "gradients", "attacks")
HOW = "featmask doctor CHECKPOINT --save FOLDER"


class _Judged:
    verdict: str

    @property
    def sign(self) -> str:
        """Beside the word, never instead of it."""
        return VERDICTS.get(self.verdict, "?")


@dataclass(frozen=True)
class Trust(_Judged):
    """Whether figures can be trusted: ``verdict`` is that of the doctor, or ``unchecked``."""

    verdict: str
    short: str
    sentence: str


@dataclass(frozen=True)
class Shown(Check, _Judged):
    """One check for the page; ``curve`` is x, y and their labels where there is something to draw."""

    curve: tuple[list[Any], list[float], str, str] | None = None


def checks(doctor: DoctorRecord | None) -> list[tuple[str, list[Shown]]]:
    """Group -> checks, those that are not ok first."""
    found: dict[str, list[Shown]] = {group: [] for group in GROUPS}
    for check in () if doctor is None else doctor.checks:
        found.setdefault(check.group, []).append(Shown(**vars(check), curve=_curve(check.values)))
    place = {verdict: number for number, verdict in enumerate(VERDICTS)}
    return [(group, sorted(own, key=lambda check: place.get(check.verdict, -1))) for group, own in found.items() if own]


def counts(doctor: DoctorRecord | None) -> str:
    """``12 ok, 1 suspicious, 2 skipped``."""
    verdicts = [] if doctor is None else [check.verdict for check in doctor.checks]
    return ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys([*VERDICTS, *verdicts]) if v in verdicts)


def trust(doctor: DoctorRecord | None) -> Trust:
    """In plain words; ``trusted`` decides, not the number of checks."""
    if doctor is None:
        text = f"Whether these figures can be trusted is not known: no checks were run. {HOW} runs them."
        return Trust("unchecked", "not checked", text)
    told = counts(doctor) or "no check was run"
    failed, suspicious = (
        [check.title for check in doctor.checks if check.verdict == name] for name in ("failed", "suspicious")
    )
    if not doctor.trusted:
        named = "; ".join(failed + suspicious)
        because = f" Not passed: {named}." if named else ""
        verdict = doctor.verdict if doctor.verdict in ("failed", "suspicious") else "failed"
        return Trust(verdict, "can not be trusted", f"The figures can not be trusted.{because} Checks: {told}.")
    doubts = f" Suspicious: {'; '.join(suspicious)}." if suspicious else ""
    text = f"The figures can be trusted as far as these checks go: {told}.{doubts}"
    return Trust(doctor.verdict, "trusted, with doubts" if doubts else "trusted", text)


def _curve(values: Mapping[str, Any]) -> tuple[list[Any], list[float], str, str] | None:
    x, y = values.get("x"), values.get("y")
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
        return None
    pairs = [(a, float(b)) for a, b in zip(x, y, strict=True) if finite(b) and (finite(a) or isinstance(a, str))]
    if len(pairs) < 2:
        return None
    places = [a for a, _ in pairs]
    # numbers and names on one axis: all are names
    places = places if all(finite(a) for a in places) else [str(a) for a in places]
    return places, [b for _, b in pairs], str(values.get("x_label") or ""), str(values.get("y_label") or "")
