"""What the doctor says: checks with their figures, and whether they leave room for trust."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..records.doctor import DOCTOR, Check, DoctorRecord

Verdict = Literal["ok", "suspicious", "failed", "skipped"]
Group = Literal["set-up", "gradients", "attacks"]


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

    def record(self, command: str | None = None) -> DoctorRecord:
        """With versions and machine, and the command that made it."""
        from ..utils.versions import environment

        return DoctorRecord(
            verdict=self.verdict,
            trusted=self.trusted,
            checks=list(self.checks),
            settings=self.settings,
            environment=environment("classification"),
            **({} if command is None else {"command": command}),
        )

    def save(self, folder: str | Path) -> Path:
        """Write ``doctor.json`` into a folder, with versions and machine; return its path."""
        return DOCTOR.write(folder, self.record())
