"""What a checkpoint's header says of its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from .file import Number, Record, parsed
from .run import RunInfo


class Header(Record):
    """What a model is rebuilt from: ``recipe`` as plain values, what training knows of the ``run``, the names of a
    classifier's ``classes`` or the number of persons that an embedder was trained on, ``mean`` and ``std`` per channel.
    """

    recipe: dict[str, Any]
    run: RunInfo
    classes: list[str] = Field([])
    num_ids: int = 0
    mean: list[Number]
    std: list[Number]

    @model_validator(mode="after")
    def _of_a_field(self) -> Header:
        if not (self.classes or self.num_ids):
            raise ValueError("expected classes or num_ids")
        return self

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return super().plain() | {"run": self.run.plain()}

    def text(self) -> str:
        """As the file has it."""
        return json.dumps(self.plain())


def read_header(text: str, path: Path) -> Header:
    """The header of the checkpoint at ``path``; FeatmaskError where it is damaged."""
    return parsed(text, Header, f"the header of {path}", "delete the checkpoint to have it trained anew")
