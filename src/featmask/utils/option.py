"""What an option of a recipe may be: one range, stated once, that checks a value and words the message."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option: its default, and what it may be.

    Attributes:
        default: what it is if nothing is said.
        low: the least number; not allowed itself if ``above``.
        high: the largest number.
        above: whether a number must be above ``low``.
        kind: the type of value: numbers; ``int`` for whole ones; ``()`` for ``words`` alone; or another class.
        odd: whether a whole number must be odd.
        pair: a range, such as ``[0.02, 0.4]``: two such numbers, the smaller first.
        words: values that are allowed beside numbers, such as names.
        null: what None stands for; empty: None is not allowed.
    """

    default: Any
    low: float = 0.0
    high: float = math.inf
    above: bool = False
    kind: type | tuple[type, ...] = (int, float)
    odd: bool = False
    pair: bool = False
    words: tuple[Any, ...] = ()
    null: str = ""

    def allows(self, value: Any) -> bool:
        """Whether a value is one of the words, finite and in the range, or a None that stands for something."""
        if value is None:
            return bool(self.null)
        if not self.pair:
            return self._allows_one(value)
        two = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(self._allows_one, value))
        return two and bool(value[0] <= value[1])

    def _allows_one(self, value: Any) -> bool:
        if any(type(value) is type(word) and value == word for word in self.words):
            return True
        if isinstance(value, bool) or not isinstance(value, self.kind):
            return False
        if not isinstance(value, (int, float)):
            return True
        inside = math.isfinite(value) and self.low <= value <= self.high and not (self.above and value == self.low)
        return inside and not (self.odd and value % 2 == 0)

    def __str__(self) -> str:
        ways = [repr(word) if isinstance(word, str) else str(word).lower() for word in self.words]
        if self.kind in ((int, float), int):
            ways.append(self._numbers())
        elif isinstance(self.kind, type):
            ways.append(f"a {self.kind.__name__}")
        return " or ".join(ways) + (f", or null ({self.null})" if self.null else "")

    def _numbers(self) -> str:
        noun = "odd number" if self.odd else "whole number" if self.kind is int else "number"
        if self.high < math.inf:
            span = f" {'above' if self.above else 'from'} {self.low:g} to {self.high:g}"
        elif self.low == -math.inf:
            span = ""
        else:
            span = f" above {self.low:g}" if self.above else f" {self.low:g} or more"
        if self.pair:
            return f"two {noun}s{span}, the smaller first"
        return f"{'an' if self.odd else 'a'} {noun}{span}"


def flag(default: bool) -> Option:
    """An option that is true or false."""
    return Option(default, kind=(), words=(True, False))


def wrong_options(whose: str, known: Mapping[str, Option], options: Mapping[str, Any]) -> list[str]:
    """One line for each option that ``whose`` does not have, or whose value it does not allow: ``p: expected ...``."""
    has = "; ".join(f"{key} ({option})" for key, option in known.items())
    return [
        f"{key}: expected {known[key]}; got {value!r}"
        if key in known
        else f"{key}: no such option; {f'{whose} has {has}' if has else f'{whose} takes no options'}"
        for key, value in options.items()
        if key not in known or not known[key].allows(value)
    ]
