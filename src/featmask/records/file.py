"""How records are read and written: a damaged one is told in a sentence that names file, place and remedy."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..errors import FeatmaskError
from ..utils.files import write_json
from ..utils.mistakes import mistakes

T = TypeVar("T")
#: As it was written: a whole number stays one.
Number = int | float
#: Mistakes that one message shows.
SHOWN = 3


class Record(BaseModel):
    """What a JSON file holds. Keys of other versions are ignored; keys that were not set are not written."""

    model_config = ConfigDict(frozen=True)

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(by_alias=True, exclude_unset=True)


@dataclass(frozen=True)
class RecordFile(Generic[T]):
    """A kind of JSON file.

    Attributes:
        name: of the file within its folder.
        holds: a record, or a mapping.
        remedy: what to do about a damaged one, for a person.
        schema: its version, under the key ``schema``; None where it has none.
    """

    name: str
    holds: type[T]
    remedy: str
    schema: int | None = None

    def read(self, folder: str | Path) -> T:
        """The record in a folder.

        Raises:
            FeatmaskError: it is not there, damaged, or another version's.
        """
        return read_json(Path(folder) / self.name, self.holds, self.remedy, self.schema)

    def find(self, folder: str | Path) -> T | None:
        """The same; None where there is no such file."""
        return self.read(folder) if (Path(folder) / self.name).exists() else None

    def plain(self, record: T) -> dict[str, Any]:
        """As the file has it."""
        values: dict[str, Any] = record.plain() if isinstance(record, Record) else dict(cast(Any, record))
        return values if self.schema is None else {"schema": self.schema} | values

    def write(self, folder: str | Path, record: T) -> Path:
        """Write it, whole or not at all; give its path."""
        path = Path(folder) / self.name
        write_json(path, self.plain(record))
        return path


def read_json(path: str | Path, holds: type[T], remedy: str, schema: int | None = None) -> T:
    """A JSON file as what it should hold; types are strict: ``"1"`` is no number.

    Raises:
        FeatmaskError: it is not there, no text, no JSON, another version's, or a key is missing or of another type.
    """
    text = read_text(path, remedy)
    if schema is not None:
        found = parsed(text, dict[str, Any], path, remedy).get("schema")
        if found != schema:
            raise FeatmaskError(f"{path}: expected schema {schema}, got {found!r}: another version wrote it; {remedy}")
    return parsed(text, holds, path, remedy)


def read_lines(path: str | Path, holds: type[T], remedy: str) -> list[T]:
    """JSON lines; a last line that a kill cut short is left out, and a file that is not there has none.

    Raises:
        FeatmaskError: no text, or a line that is not what it should be.
    """
    if not Path(path).exists():
        return []
    *lines, last = read_text(path, remedy).split("\n")
    if last and _is_json(last):
        lines.append(last)
    return [parsed(line, holds, f"{path}, line {number}", remedy) for number, line in enumerate(lines, 1)]


def read_text(path: str | Path, remedy: str) -> str:
    """A UTF-8 text.

    Raises:
        FeatmaskError: it is not there, or cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FeatmaskError(f"{path} is missing; {remedy}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FeatmaskError(f"cannot read {path}: {error}; {remedy}") from error


def lines_of(values: Sequence[Mapping[str, Any]]) -> str:
    """JSON lines; infinity is a result (a sample that nothing flips), and :func:`read_lines` reads it back."""
    return "".join(json.dumps(value) + "\n" for value in values)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def parsed(text: str, holds: type[T], place: str | Path, remedy: str) -> T:
    """JSON as what it should hold; ``place`` says where it was found.

    Raises:
        FeatmaskError: no JSON, or a key that is missing or of another type.
    """
    try:
        found: T = _adapter(cast(Hashable, holds)).validate_json(text, strict=True)
        return found
    except ValidationError as error:
        wrong = mistakes(error)
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise FeatmaskError(f"{place}: {'; '.join(wrong[:SHOWN])}{more}; {remedy}") from error


@cache
def _adapter(holds: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, holds))
