"""Whose figures the records of a folder are: ``subject.json``."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from .file import Number, Record, RecordFile


class SubjectRecord(Record):
    """One model that was measured; what is not known is None or empty.

    Attributes:
        title: for people.
        checkpoint, sha256: its file's name and digest.
        method: of its recipe; None for a model that featmask did not train.
        recipe: as plain values, as it was measured.
        dropped_fraction: measured share of the activations that were dropped in training.
        command: that measured; several, a line each.
    """

    title: str = ""
    checkpoint: str | None = None
    sha256: str | None = None
    method: str | None = None
    seed: int | None = None
    recipe: dict[str, Any] | None = None
    data: str | None = None
    classes: list[str] = Field([])
    dropped_fraction: Number | None = None
    environment: dict[str, str] = Field({})
    command: str = ""


SUBJECT = RecordFile(
    "subject.json", SubjectRecord, "delete it if the folder's records are of one model, and evaluate again", schema=1
)
