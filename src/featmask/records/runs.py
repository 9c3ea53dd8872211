"""What a run leaves behind, and how it is read back: the schema between training, statistics and reports.

A run's folder holds ``recipe.yaml``, ``env.json``, ``train.jsonl`` (one line an epoch), ``run.json`` (written last:
the run is finished), ``model.safetensors`` and, per suite, ``eval/<suite>.json`` and ``eval/<suite>.samples.csv``.
Nothing here imports torch, so that results can be read where no model can run.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FeatmaskError
from ..utils.files import replacing, write_json

SCHEMA = 1
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
            worst case per sample over all attacks at an eps is ``worst@2/255``. Retrieval has several figures an
            attack: ``fna.mAP@5/255``, ``worst.rank1@5/255``, and ``clean.mAP`` of the same queries, not attacked.
        settings: everything needed to repeat it (norm, eps, steps, restarts, seed, indices); of re-identification
            also ``rules`` (a mapping), ``queries``, ``no_match`` and ``gallery``; ``notes``, a list of what must be
            said wherever the figures are shown.
        warnings: what a reader must know before believing a figure.
    """

    name: str
    split: str
    n: int
    metrics: dict[str, float]
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One trained model and all that was measured on it.

    Attributes:
        folder: where it lies.
        method: the regulariser's name in the registry.
        seed: the training seed.
        info: ``run.json``: dropped_fraction, seconds_per_epoch, parameters, best_epoch, ...
        recipe: the recipe as a plain mapping.
        environment: versions and machine.
        epochs: the training log, one mapping an epoch.
        suites: name -> figures.
        samples: name -> per-sample columns, aligned with each other by ``index``.
    """

    folder: Path
    method: str
    seed: int
    info: dict[str, Any]
    recipe: dict[str, Any]
    environment: dict[str, Any]
    epochs: list[dict[str, Any]]
    suites: dict[str, Suite]
    samples: dict[str, Columns]


def write_suite(folder: str | Path, suite: Suite, samples: Mapping[str, npt.ArrayLike]) -> None:
    """Write one suite's figures and per-sample outcomes into a run's ``eval`` folder.

    Args:
        folder: the run's folder.
        suite: the figures.
        samples: columns of equal length ``suite.n``; ``index`` must be one of them. A confidence is written with
            :data:`DECIMALS` decimals, outcomes and scores in full.

    Raises:
        FeatmaskError: columns of unequal length, or no ``index``.
    """
    columns = {name: np.asarray(values) for name, values in samples.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if "index" not in columns or set(lengths.values()) != {suite.n}:
        raise FeatmaskError(f"expected columns of length {suite.n}, 'index' among them; got {lengths}")
    target = Path(folder) / "eval"
    with (
        replacing(target / f"{suite.name}.samples.csv") as beside,
        open(beside, "w", newline="", encoding="utf-8") as handle,
    ):
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows(zip(*(_cells(name, values) for name, values in columns.items()), strict=True))
    # The JSON comes second: where it exists, its samples exist too.
    write_json(target / f"{suite.name}.json", {"schema": SCHEMA, **asdict(suite)})


def _cells(name: str, values: npt.NDArray[Any]) -> list[Any]:
    rounded = name in DESCRIPTIVE and values.dtype.kind == "f"
    cells: list[Any] = (values.astype(np.float64).round(DECIMALS) if rounded else values).tolist()
    return cells


def read_suite(path: str | Path) -> tuple[Suite, Columns]:
    """Read ``eval/<suite>.json`` and the samples beside it."""
    path = Path(path)
    raw = _read_json(path)
    if raw.pop("schema", None) != SCHEMA:
        raise FeatmaskError(f"{path}: expected schema {SCHEMA}; this file was written by another version")
    raw["warnings"] = tuple(raw.get("warnings", ()))
    return Suite(**raw), read_samples(path.with_suffix(".samples.csv"))


def read_samples(path: str | Path) -> Columns:
    """Read per-sample columns; whole numbers come back as integers, descriptions such as a person's id also as text.

    Raises:
        FeatmaskError: an outcome that is no number.
    """
    with open(path, newline="", encoding="utf-8") as handle:
        rows = list(csv.reader(handle))
    header, body = rows[0], rows[1:]
    return {name: _column(path, name, [row[position] for row in body]) for position, name in enumerate(header)}


def _column(path: str | Path, name: str, values: list[str]) -> npt.NDArray[Any]:
    for kind, dtype in ((int, np.int64), (float, np.float64)):
        try:
            return np.array([kind(value) for value in values], dtype=dtype)
        except ValueError:
            pass
    if name not in DESCRIPTIVE:
        raise FeatmaskError(f"{path}: expected numbers in the column {name!r}, got {values[:3]}")
    return np.array(values, dtype=np.str_)


def read_run(folder: str | Path) -> Run:
    """Read a finished run.

    Raises:
        FeatmaskError: the folder holds no finished run (``run.json`` is written last).
    """
    folder = Path(folder)
    info = read_info(folder)
    suites: dict[str, Suite] = {}
    samples: dict[str, Columns] = {}
    for path in sorted((folder / "eval").glob("*.json")):
        suite, columns = read_suite(path)
        suites[suite.name], samples[suite.name] = suite, columns
    return Run(
        folder=folder,
        method=str(info["method"]),
        seed=int(info["seed"]),
        info=info,
        recipe=_read_json(folder / "recipe.json"),
        environment=_read_json(folder / "env.json"),
        epochs=read_lines(folder / "train.jsonl"),
        suites=suites,
        samples=samples,
    )


def read_info(folder: str | Path) -> dict[str, Any]:
    """``run.json`` of a finished run.

    Raises:
        FeatmaskError: the folder holds no finished run (``run.json`` is written last).
    """
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise FeatmaskError(f"{folder} holds no finished run: run.json is missing")
    return _read_json(path)


def read_runs(root: str | Path, methods: Sequence[str] | None = None) -> list[Run]:
    """Read every finished run below ``root``, methods in the given order (else by name), seeds ascending."""
    runs = [read_run(path.parent) for path in sorted(Path(root).rglob("run.json"))]
    if methods is not None:
        runs = [run for run in runs if run.method in methods]
        return sorted(runs, key=lambda run: (list(methods).index(run.method), run.seed))
    return sorted(runs, key=lambda run: (run.method, run.seed))


def read_lines(path: str | Path) -> list[dict[str, Any]]:
    """Read JSON lines; a last line that a kill cut short is left out."""
    path = Path(path)
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise FeatmaskError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise FeatmaskError(f"{path}: expected a JSON object")
    return value
