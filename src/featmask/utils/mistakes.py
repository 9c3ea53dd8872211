"""What pydantic finds wrong, in words for someone who wrote a recipe or keeps a record."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

#: Kinds whose message says what came, or that have nothing to show.
_SILENT = ("missing", "extra_forbidden", "value_error", "json_invalid")
#: pydantic's words for kinds of values -> a recipe's.
_WORDS = (
    (re.compile(r"Input should be a valid dictionary( or instance of \w+)?"), "expected keys, such as key: value"),
    (re.compile(r"Input should be a valid tuple"), "expected a list, such as [a, b]"),
    (re.compile(r"Input should be "), "expected "),
    (re.compile(r"Field required"), "this key is missing"),
)


def mistakes(error: ValidationError, schema: type[BaseModel] = BaseModel) -> list[str]:
    """One line per mistake: its place, what was expected, what came; ``schema`` tells which keys are known."""
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        for theirs, ours in _WORDS:
            text = theirs.sub(ours, text)
        if problem["type"] == "extra_forbidden":
            text = f"no such key; known here: {', '.join(_known(schema, problem['loc']))}"
        # a rule over several keys has no one value to show
        silent = problem["type"] in _SILENT or isinstance(problem["input"], dict)
        got = "" if silent else f", got {problem['input']!r:.100}"
        lines.append(f"{place + ': ' if place else ''}{text}{got}")
    return lines


def _known(schema: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that exist where an unknown one was given."""
    model: Any = schema
    for part in loc[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        if field is not None:
            model = next(iter(_models(field.annotation)), model)
    return list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation such as ``dict[str, Place]`` or ``Adversarial | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in _models(inner)]
