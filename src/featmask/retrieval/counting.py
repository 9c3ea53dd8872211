"""Ranks of a few items of a row, without sorting the row.

Only right items need a rank, and there are few of them: an item's rank is the number of items before it. Items at equal
distance stand in the order of the gallery, so that an item is preceded by everything at most as far on its left and by
everything nearer on its right: two comparisons over parts of the row, as much work as one over the whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .inputs import Integers
from .keys import Keys

#: From this many items on, sorting a row's values once is cheaper than comparing it with each of them.
SORT_FROM = 96


def ranks(keys: Keys, rows: Integers, columns: Integers) -> Integers:
    """0-based ranks of items, each among its whole row; ties by column.

    Args:
        keys: (B, G), no NaN.
        rows: (H,) each item's row, ascending.
        columns: (H,) each item's column.
    """
    if isinstance(keys, torch.Tensor):
        return _on_device(keys, rows, columns)
    result = np.empty(len(rows), dtype=np.int64)
    less = np.empty(keys.shape[1], dtype=bool)
    ends = np.searchsorted(rows, np.arange(len(keys)), side="right").tolist()
    start = 0
    for row, end in zip(keys, ends, strict=True):
        if end - start >= SORT_FROM:
            result[start:end] = _by_sorting(row, columns[start:end], less)
        else:
            for item in range(start, end):
                result[item] = _by_comparing(row, columns[item], less)
        start = end
    return result


def values(keys: Keys, rows: Integers, columns: Integers) -> npt.NDArray[Any]:
    """Keys of items, on the CPU."""
    if isinstance(keys, torch.Tensor):
        at = [torch.from_numpy(part).to(keys.device) for part in (rows, columns)]
        return keys[at[0], at[1]].cpu().numpy()
    return keys[rows, columns]


def spans(first: Integers, lengths: Integers) -> Integers:
    """Positions first, first + 1, ... of each span, one span after the other."""
    ends = np.cumsum(lengths)
    positions: Integers = np.arange(lengths.sum()) + np.repeat(first - (ends - lengths), lengths)
    return positions


def _by_comparing(row: npt.NDArray[Any], column: int, less: npt.NDArray[np.bool_]) -> int:
    key = row[column]
    np.less_equal(row[:column], key, out=less[:column])
    np.less(row[column:], key, out=less[column:])
    return int(np.count_nonzero(less))


def _by_sorting(row: npt.NDArray[Any], columns: Integers, less: npt.NDArray[np.bool_]) -> Integers:
    ordered = np.sort(row)
    wanted = row[columns]
    found = np.searchsorted(ordered, wanted, side="left")
    tied = np.searchsorted(ordered, wanted, side="right") - found > 1
    for item in np.flatnonzero(tied):
        found[item] = _by_comparing(row, columns[item], less)
    return found


def _on_device(keys: torch.Tensor, rows: Integers, columns: Integers) -> Integers:
    order = keys.argsort(dim=1, stable=True)
    places = torch.arange(keys.shape[1], device=keys.device).expand_as(order)
    inverse = torch.empty_like(order).scatter_(1, order, places)
    return values(inverse, rows, columns)
