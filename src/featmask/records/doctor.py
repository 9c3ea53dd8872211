"""What the doctor found: ``doctor.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from .file import Record, RecordFile

#: Checks whose suspicion alone costs no trust. ``saturation``: the attacks here follow the log-odds, which never
#: saturate, so that only the plain cross-entropy of other tools is weakened. ``undefended``: small grey images
#: withstand 8/255 without any defence; what stands too high calls for the other checks and for AutoAttack, and is
#: itself no sign of a faulty attack.
ADVISORY = frozenset({"saturation", "undefended"})


@dataclass(frozen=True)
class Check:
    """One question, and its answer.

    Attributes:
        name: for programs, such as ``zero_gradient``.
        group: ``set-up``, ``gradients`` or ``attacks``.
        title: what should hold.
        verdict: ``ok``; ``suspicious``: look at it before you publish; ``failed``: figures are wrong; ``skipped``.
        figure: what was measured.
        why: what it means, and what to do where it is not ok.
        values: JSON values behind the figure; a curve has ``x``, ``y``, ``x_label`` and ``y_label``.
    """

    name: str
    group: str
    title: str
    verdict: str
    figure: str = ""
    why: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def costs_trust(self) -> bool:
        """Whether it says that a figure of robustness may be wrong."""
        return self.verdict == "failed" or (self.verdict == "suspicious" and self.name not in ADVISORY)


class DoctorRecord(Record):
    """Every check in the order in which they were made, the worst ``verdict`` among them, whether they leave room for
    trust, and what they were made with.
    """

    verdict: str
    trusted: bool
    checks: list[Check]
    settings: dict[str, Any] = Field({})
    environment: dict[str, str] = Field({})
    command: str = ""


DOCTOR = RecordFile("doctor.json", DoctorRecord, "delete it and run featmask doctor again", schema=1)
