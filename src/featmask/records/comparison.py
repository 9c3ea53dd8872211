"""What a comparison wrote of itself into the study's folder: ``comparison.json``."""

from __future__ import annotations

from pydantic import Field

from .file import Record, RecordFile


class ComparisonRecord(Record):
    """What was compared; empty where runs were trained one by one.

    Attributes:
        command: that made the runs.
        methods: in the order in which they are shown.
        seeds: of every method.
        failed: run -> why it could not be finished.
    """

    command: str = ""
    methods: list[str] = Field([])
    seeds: list[int] = Field([])
    failed: dict[str, str] = Field({})


COMPARISON = RecordFile(
    "comparison.json", ComparisonRecord, "run the comparison again to have it written anew", schema=1
)
