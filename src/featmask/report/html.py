"""One page that holds everything: no network, no scripts, readable on a phone, in the dark and on paper."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from ..errors import FeatmaskError
from ..results import Run
from .blocks import blocks
from .notes import caution, environment, notices, outline, statements, suite_text, suites, warnings
from .plots import legend, pictures
from .retrieval import data_name, rules
from .rows import differences, rows, single
from .tables import Study
from .verdicts import verdict_lines

PNG = b"\x89PNG\r\n\x1a\n"


Images = Mapping[str, "str | Path"]


def page(study: Study, root: Path, command: str, title: str, images: Images, rankings: Images) -> str:
    """The whole page; ``images`` are of masks, ``rankings`` of ranked lists, both by caption.

    Raises:
        FeatmaskError: an image that cannot be read or is no PNG.
    """
    return (
        templates()
        .get_template("report.html.j2")
        .render({**_context(study, root, command, title), "images": _embedded(images), "rankings": _embedded(rankings)})
    )


def templates() -> jinja2.Environment:
    """Ours: everything is escaped, a name that is missing is a mistake."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("featmask.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _context(study: Study, root: Path, command: str, title: str) -> dict[str, Any]:
    headline = study.headline
    others = [metric for metric in study.metrics if metric not in headline]
    # every corruption at every severity is in the CSV: seventy-five columns would drown the others
    unranked = [metric for metric in others if not metric.retrieval and not metric.severity]
    first = study.runs[0]
    return {
        "title": title,
        "note": str(first.recipe.get("note") or "").strip(),
        "data": data_name(study),
        "notices": notices(study),
        "rules": rules(suites(study)),
        "verdicts": verdict_lines(study),
        "caution": caution(study),
        "baseline": study.baseline,
        "compares": bool(study.challengers),
        "seeds": study.most_seeds,
        "headline": headline,
        "others": unranked,
        "blocks": blocks(study),
        "main": rows(study, headline),
        "rest": rows(study, unranked),
        "differences": differences(study, headline),
        "other_differences": differences(study, [metric for metric in others if not metric.severity]),
        "runs": [
            {
                "method": run.method,
                "seed": run.seed,
                "values": [single(run, metric) for metric in headline],
                "info": _info(run),
                "files": _files(run, root),
            }
            for run in study.runs
        ],
        "pictures": pictures(study),
        "legend": legend(study),
        "statements": statements(study),
        "warnings": warnings(study),
        "suites": [(suite.name, suite_text(suite)) for suite in suites(study)],
        "recipe": outline(first.recipe),
        "environment": environment(study),
        "version": environment(study).get("featmask", ""),
        "command": command,
    }


def _info(run: Run) -> str:
    parts = []
    if run.info.get("point"):
        parts.append(f"at {run.info['point']}")
    parts += [f"{key} {value}" for key, value in (run.info.get("set") or {}).items()]
    if run.info.get("best_epoch") is not None:
        parts.append(f"epoch {run.info['best_epoch']} chosen on validation data")
    if isinstance(run.info.get("parameters"), int):
        parts.append(f"{run.info['parameters']:,} parameters")
    return ", ".join(parts)


def _files(run: Run, root: Path) -> list[tuple[str, str]]:
    """Name and relative link of what the run left behind."""
    folder = run.folder.resolve()
    names = ["run.json", "train.jsonl", "recipe.json", "env.json", "model.safetensors"]
    names += [f"eval/{suite}{ending}" for suite in run.suites for ending in (".json", ".samples.csv")]
    found = []
    for name in names:
        if (folder / name).is_file():
            link = relative_link(folder / name, root)
            found += [(name.removeprefix("eval/"), link)] if link else []
    return found


def relative_link(path: Path, root: Path) -> str:
    """From a page in ``root`` to a file; empty where there is no way, as to another drive."""
    try:
        link = os.path.relpath(path.resolve(), root.resolve())
    except ValueError:
        return ""
    # a name may hold what means something in a link: '#', '?', a colon
    return "./" + quote(Path(link).as_posix())


def _embedded(images: Images) -> list[tuple[str, str]]:
    return [(caption, _data_uri(path)) for caption, path in images.items()]


def _data_uri(path: str | Path) -> str:
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise FeatmaskError(f"cannot read the image {path}: {error.strerror}") from error
    if not raw.startswith(PNG):
        raise FeatmaskError(f"expected a PNG file, but {path} is none; save the picture as PNG")
    return "data:image/png;base64," + base64.b64encode(raw).decode()
