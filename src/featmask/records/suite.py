"""What a suite measured: figures in ``eval/<suite>.json``, outcomes per sample in ``eval/<suite>.samples.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FeatmaskError
from ..utils.files import replacing, write_json
from .file import Number, read_json, read_text

SCHEMA, SAMPLES = 1, ".samples.csv"
#: Per-sample columns that describe a sample; every other column is an outcome: 1 (right) or 0 (wrong), or a score of
#: that sample alone (``ap``, ``inp``).
DESCRIPTIVE = ("index", "label", "predicted", "confidence", "pid", "cam")
#: Decimals of a description that is no whole number (a confidence): enough to look at, and a fifth of the bytes.
#: Outcomes are kept in full, since the statistics are made from them.
DECIMALS = 4

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Suite:
    """One evaluation of one model.

    Attributes:
        name: of classification ``clean``, ``linf``; of re-identification ``clean``, ``reranked``, ``cross_<data set>``,
            ``attack_query``, ``attack_gallery``.
        split: which part of the data, always named.
        n: number of samples, those already wrong included; of re-identification the queries that have a match.
        metrics: name -> value. An attack's accuracy is named ``attack@eps``, for example ``pgd@2/255``; the
            worst case per sample over all attacks at an eps is ``worst@2/255``. Retrieval has several figures per
            attack: ``fna.mAP@5/255``, ``worst.rank1@5/255``, and ``clean.mAP`` of the same queries, not attacked.
        settings: everything needed to repeat it (norm, eps, steps, restarts, seed, indices); of re-identification
            also ``rules`` (a mapping), ``queries``, ``no_match`` and ``gallery``; ``notes``, a list of what must be
            said wherever the figures are shown.
        warnings: what a reader must know before believing a figure.
    """

    name: str
    split: str
    n: int
    metrics: dict[str, Number]
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def suite_path(folder: str | Path, name: str) -> Path:
    """Where a run keeps a suite's figures."""
    return Path(folder) / "eval" / f"{name}.json"


def is_written(path: Path) -> bool:
    """Whether there are both a suite's figures and, beside them, its samples."""
    return path.is_file() and path.with_suffix(SAMPLES).is_file()


def write_suite(folder: str | Path, suite: Suite, samples: Mapping[str, npt.ArrayLike]) -> None:
    """Write one suite's figures and per-sample outcomes into the ``eval`` folder of a run's folder.

    ``samples`` are columns of equal length ``suite.n``, ``index`` among them, else FeatmaskError. A confidence is
    written with :data:`DECIMALS` decimals, outcomes and scores in full.
    """
    columns = {name: np.asarray(values) for name, values in samples.items()}
    _check(columns, suite.n, f"the samples of {suite.name}")
    for name, values in columns.items():
        if name in DESCRIPTIVE and values.dtype.kind == "f":
            columns[name] = values.astype(np.float64).round(DECIMALS)
    path = suite_path(folder, suite.name)
    with replacing(path.with_suffix(SAMPLES)) as beside, open(beside, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    # The JSON comes second: where it exists, its samples exist too.
    write_json(path, {"schema": SCHEMA, **asdict(suite)})


def read_suite(path: str | Path) -> tuple[Suite, Columns]:
    """Read ``eval/<suite>.json`` and the samples beside it.

    Raises:
        FeatmaskError: one of them is missing or damaged, another version's, or they do not fit together.
    """
    path = Path(path)
    suite = read_json(path, Suite, _remedy(path), SCHEMA)
    if suite.name != path.stem:
        raise FeatmaskError(f"{path}: name: expected {path.stem!r}, got {suite.name!r}; {_remedy(path)}")
    columns = read_samples(path.with_suffix(SAMPLES))
    _check(columns, suite.n, path.with_suffix(SAMPLES), f"; {_remedy(path)}")
    return suite, columns


def read_suites(folder: Path) -> tuple[dict[str, Suite], dict[str, Columns]]:
    """The figures and samples of every suite in ``folder / "eval"``, by name; raises as :func:`read_suite`."""
    measured = [read_suite(path) for path in sorted((folder / "eval").glob("*.json"))]
    return {suite.name: suite for suite, _ in measured}, {suite.name: columns for suite, columns in measured}


def read_samples(path: str | Path) -> Columns:
    """Read per-sample columns; whole numbers come back as integers, descriptions such as a person's id also as text.

    Raises:
        FeatmaskError: no text, rows of unequal length, or an outcome that is no number.
    """
    remedy = _remedy(Path(path))
    try:
        header, *body = csv.reader(io.StringIO(read_text(path, remedy)), strict=True)
        columns = list(zip(*body, strict=True)) or [()] * len(header)
        return {name: _column(name, values) for name, values in zip(header, columns, strict=True)}
    except (ValueError, csv.Error) as error:
        if isinstance(error, FeatmaskError):
            raise
        raise FeatmaskError(f"{path}: expected a head and rows of the same length: {error}; {remedy}") from error


def _remedy(path: Path) -> str:
    name = path.name.partition(".")[0]
    return f"delete {name}.json and {name}.samples.csv to have this suite measured again"


def _check(columns: Columns, n: int, place: str | Path, remedy: str = "") -> None:
    lengths = {name: len(values) for name, values in columns.items()}
    if "index" not in columns or set(lengths.values()) != {n}:
        raise FeatmaskError(f"{place}: expected columns of length {n}, 'index' among them; got {lengths}{remedy}")


def _column(name: str, values: tuple[str, ...]) -> npt.NDArray[Any]:
    for kind, dtype in ((int, np.int64), (float, np.float64)):
        try:
            return np.array([kind(value) for value in values], dtype=dtype)
        except ValueError:
            pass
    if name not in DESCRIPTIVE:
        raise ValueError(f"expected numbers in the column {name!r}, got {values[:3]}")
    return np.array(values, dtype=np.str_)
