"""What a comparison wrote of itself into the study's folder: ``comparison.json``."""

from __future__ import annotations

from pydantic import Field

from .file import Record, RecordFile


class ComparisonRecord(Record):
    """What was compared, ``methods`` in the order in which they are shown; empty where runs were trained one by one.
    ``command`` made the runs, ``failed`` says why a run could not be finished.
    """

    command: str = ""
    methods: list[str] = Field([])
    seeds: list[int] = Field([])
    failed: dict[str, str] = Field({})


COMPARISON = RecordFile(
    "comparison.json", ComparisonRecord, "run the comparison again to have it written anew", schema=1
)
