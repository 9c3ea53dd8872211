"""One page, one text, one table: written from runs, whole or not at all."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from ..errors import FeatmaskError
from ..files import write_text
from ..results import Run
from ..stats import ENOUGH_SEEDS
from .plots import eps_curve, seed_dots, training_curves
from .tables import Metric, Study, aggregate, half_width, show


def write_report(
    root: str | Path,
    runs: Sequence[Run],
    *,
    command: str,
    title: str | None = None,
    images: Mapping[str, str | Path] | None = None,
    baseline: str | None = None,
) -> dict[str, Path]:
    """Write ``report.html`` (self-contained), ``report.md`` and ``table.csv`` into ``root``.

    Args:
        root: a folder; links to the runs are relative to it.
        runs: finished runs, in the order in which methods are to be shown.
        command: what made them, for the reader who wants to repeat it.
        title: of the page; default: the recipe's name.
        images: caption -> PNG file that is embedded.
        baseline: what the others are compared with; default: the first method.

    Raises:
        FeatmaskError: no runs, or an unknown baseline.
    """
    root = Path(root)
    study = aggregate(runs, baseline)
    context = _context(study, root, command, title, images or {})
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("featmask.report"),
        autoescape=jinja2.select_autoescape(["html", "html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    paths = {name: root / name for name in ("report.html", "report.md", "table.csv")}
    write_text(paths["report.html"], environment.get_template("report.html.j2").render(context))
    write_text(paths["report.md"], environment.get_template("report.md.j2").render(context))
    write_text(paths["table.csv"], _csv(study))
    return paths


def verdict_lines(study: Study) -> list[str]:
    """The first thing a reader sees: for each method, what can be said on clean and on attacked accuracy."""
    primary = [m for m in study.metrics if m.name == "accuracy"]
    attacked = [m for m in study.metrics if m.name.startswith("worst@")]
    # the attack in the middle of the curve: the smallest ones leave all standing, the largest nothing
    primary += attacked[len(attacked) // 2 : len(attacked) // 2 + 1]
    lines = []
    for method in study.methods:
        cells = [study.cells[method, metric] for metric in primary if (method, metric) in study.cells]
        lines += [cell.verdict.sentence for cell in cells if cell.verdict is not None]
    if not lines:
        return [f"One method ({study.baseline}): there is nothing to compare it with."]
    return lines


def _context(
    study: Study, root: Path, command: str, title: str | None, images: Mapping[str, str | Path]
) -> dict[str, Any]:
    headline = [m for m in study.metrics if m.headline]
    others = [m for m in study.metrics if not m.headline]
    first = study.runs[0]
    warnings = {f"{s.name}: {w}": None for run in study.runs for s in run.suites.values() for w in s.warnings}
    return {
        "title": title or str(first.recipe.get("name", "comparison")),
        "note": str(first.recipe.get("note", "")).strip(),
        "verdicts": verdict_lines(study),
        "enough": study.most_seeds >= ENOUGH_SEEDS,
        "enough_seeds": ENOUGH_SEEDS,
        "seeds": study.most_seeds,
        "tables": [(name, _table(study, some)) for name, some in (("main", headline), ("all", others)) if some],
        "every_seed": _every_seed(study, headline),
        "plots": [
            (caption, svg)
            for caption, svg in (
                (
                    "Every seed: dots are runs, the bar is the mean, the band its 95 % interval",
                    seed_dots(study, headline),
                ),
                ("Accuracy against the size of the perturbation", eps_curve(study)),
                ("Training", training_curves(study)),
            )
            if svg
        ],
        "images": [(caption, _data_uri(path)) for caption, path in images.items()],
        "suites": list(
            {f"{s.name}: {s.n} {s.split} images": s for run in study.runs for s in run.suites.values()}.items()
        ),
        "recipe": _plain(first.recipe),
        "environment": first.environment,
        "command": command,
        "warnings": list(warnings),
        "folders": [(f"{run.method}, seed {run.seed}", _relative(run.folder, root)) for run in study.runs],
        "baseline": study.baseline,
    }


def _table(study: Study, metrics: Sequence[Metric]) -> dict[str, Any]:
    rows = []
    for method in study.methods:
        cells = []
        for metric in metrics:
            cell = study.cells.get((method, metric))
            if cell is None:
                cells.append({"text": "–", "best": False, "note": ""})
                continue
            half = half_width(cell.interval)
            difference = (
                "" if cell.paired is None else f"{cell.paired.interval.mean * metric.scale:+.{_places(metric)}f}"
            )
            cells.append(
                {
                    "text": show(metric, cell.interval.mean) + (f" ± {show(metric, half)}" if half is not None else ""),
                    "best": cell.best,
                    "note": difference,
                    "p": None if cell.mcnemar is None else f"McNemar p = {cell.mcnemar:.3g} (this pair of models)",
                    "outcome": "" if cell.verdict is None else cell.verdict.outcome,
                }
            )
        dropped, seconds = study.info(method, "dropped_fraction"), study.info(method, "seconds_per_epoch")
        rows.append(
            {
                "method": method,
                "seeds": len(study.runs_of(method)),
                "cells": cells,
                "dropped": "–" if dropped is None else f"{100 * dropped:.2f}",
                "seconds": "–" if seconds is None else f"{seconds:.1f}",
            }
        )
    return {"metrics": [(m.title, "%" if m.scale != 1 else "", m.lower_is_better) for m in metrics], "rows": rows}


def _places(metric: Metric) -> int:
    return 3 if metric.scale == 1 else 1


def _every_seed(study: Study, metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    return [
        {
            "method": run.method,
            "seed": run.seed,
            "values": [
                show(m, study.cells[run.method, m].values.get(run.seed)) if (run.method, m) in study.cells else "–"
                for m in metrics
            ],
        }
        for run in study.runs
    ]


def _csv(study: Study) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["method", "suite", "metric", "seeds", "mean", "low95", "high95", "difference", "difference_low95",
         "difference_high95", "sign_flip_p", "smallest_p", "mcnemar_p", "outcome", "values"]
    )  # fmt: skip
    for (method, metric), cell in study.cells.items():
        paired = cell.paired
        writer.writerow(
            [method, metric.suite, metric.name, len(cell.values), *map(_number, cell.interval)]
            + ([""] * 5 if paired is None else [*map(_number, paired.interval), paired.p, paired.smallest_p])
            + ["" if cell.mcnemar is None else cell.mcnemar, "" if cell.verdict is None else cell.verdict.outcome]
            + [" ".join(f"{seed}:{value!r}" for seed, value in cell.values.items())]
        )
    return buffer.getvalue()


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def _data_uri(path: str | Path) -> str:
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise FeatmaskError(f"cannot read the image {path}: {error.strerror}") from error
    return "data:image/png;base64," + base64.b64encode(raw).decode()


def _relative(folder: Path, root: Path) -> str:
    try:
        return folder.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return folder.as_posix()


def _plain(value: Any, depth: int = 0) -> str:
    """A nested mapping as indented text, the way its recipe looks."""
    lines = []
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            lines += [f"{'  ' * depth}{key}:", _plain(inner, depth + 1)]
        else:
            shown = ", ".join(map(str, inner)) if isinstance(inner, (list, tuple)) else str(inner).strip()
            lines.append(f"{'  ' * depth}{key}: {f'[{shown}]' if isinstance(inner, (list, tuple)) else shown}")
    return "\n".join(lines)
