"""What the doctor says: checks with their figures, and whether they leave room for trust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..utils.files import write_json

SCHEMA = 1
FILE = "doctor.json"

Verdict = Literal["ok", "suspicious", "failed", "skipped"]
Group = Literal["set-up", "gradients", "attacks"]

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
    group: Group
    title: str
    verdict: Verdict
    figure: str
    why: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def costs_trust(self) -> bool:
        """Whether it says that a figure of robustness may be wrong."""
        return self.verdict == "failed" or (self.verdict == "suspicious" and self.name not in ADVISORY)

    def plain(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "name": self.name,
            "group": self.group,
            "title": self.title,
            "verdict": self.verdict,
            "figure": self.figure,
            "why": self.why,
            "values": dict(self.values),
        }


@dataclass(frozen=True)
class Diagnosis:
    """Every check, and what they were made with."""

    checks: tuple[Check, ...]
    settings: dict[str, Any]

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks: ``failed``, ``suspicious`` or ``ok``."""
        found = {check.verdict for check in self.checks}
        return "failed" if "failed" in found else "suspicious" if "suspicious" in found else "ok"

    @property
    def trusted(self) -> bool:
        """Nothing failed, and nothing that bears on trust is suspicious: all but the checks in ``ADVISORY``.

        Trust goes as far as the checks: they find the known ways to fool an attack, and prove no robustness.
        """
        return not any(check.costs_trust for check in self.checks)

    def check(self, name: str) -> Check:
        """The check of that name.

        Raises:
            KeyError: there is none.
        """
        return {check.name: check for check in self.checks}[name]

    def plain(self) -> dict[str, Any]:
        """What ``doctor.json`` holds beside environment and command."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "trusted": self.trusted,
            "checks": [check.plain() for check in self.checks],
            "settings": self.settings,
        }

    def save(self, folder: str | Path) -> Path:
        """Write ``doctor.json`` into a folder, with versions and machine; return its path."""
        from ..utils.versions import environment

        path = Path(folder) / FILE
        write_json(path, self.plain() | {"environment": environment("classification")})
        return path
