"""One page that holds everything: no network, no scripts, readable on a phone, in the dark and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...records.comparison import ComparisonRecord
from ...records.doctor import DOCTOR
from ...records.pictures import Picture
from ...records.run import Run
from ...records.tuning import TuningRecord
from ..layout import embedded, file_links, relative_link, rendered
from ..robustness.checks import checks, trust
from ..values import outline
from .blocks import blocks
from .degraded import kind_tables
from .latex import latex_table
from .lines import banded
from .notes import caution, environment, notices, statements, suite_text, suites, warnings
from .plots import legend, pictures, render
from .retrieval import data_name, rules
from .rows import SIGNS, differences, rows, single
from .tables import Study
from .tuned import tuning_group, tuning_text
from .verdicts import metric_lines, verdict_lines

#: Kind of a picture -> title of its section; the kind is its id.
GALLERY = {
    "attention": "Where the networks look",
    "saved": "What one method saves and the other loses",
    "rankings": "Ranked lists",
    "masks": "What was hidden",
}


@dataclass(frozen=True)
class Page:
    """What a page of a study is made of, beside the study.

    Attributes:
        root: where it will lie; links are relative to it.
        title: its heading.
        command: that made the runs.
        rebuilt: that made the page anew; empty where it is the same.
        record: of the comparison.
        tuning: of the search for options.
        gallery: pictures that are embedded.
        archive: the zip file that holds the runs; None where they lie in folders.
        index: link to the page across studies; empty where there is none.
    """

    root: Path
    title: str
    command: str
    rebuilt: str = ""
    record: ComparisonRecord = field(default_factory=ComparisonRecord)
    tuning: TuningRecord | None = None
    gallery: Sequence[Picture] = ()
    archive: Path | None = None
    index: str = ""


def page(study: Study, about: Page) -> str:
    """The whole page.

    Raises:
        FeatmaskError: a picture that cannot be read or is no PNG.
    """
    return rendered("report.html.j2", **_figures(study), **_background(study, about), **_attachments(study, about))


def _figures(study: Study) -> dict[str, Any]:
    """Verdicts and tables."""
    headline = study.headline
    others = [metric for metric in study.metrics if metric not in headline]
    # every corruption at every severity is in the CSV: seventy-five columns would drown the others
    unranked = [metric for metric in others if not metric.retrieval and not metric.severity]
    return {
        "verdicts": verdict_lines(study),
        "by_figure": [(line.metric.title, line.sentence, _signs(line.outcomes)) for line in metric_lines(study)],
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
        "kinds": kind_tables(study),
        "methods": study.methods,
        "statements": statements(study),
        "warnings": warnings(study),
        "notices": notices(study),
        "rules": rules(suites(study)),
        "pictures": pictures(study),
        "legend": legend(study),
        "banded": banded(study),
    }


def _signs(outcomes: dict[str, str]) -> list[tuple[str, str, str]]:
    """Method, sign and class of those that are better or worse."""
    return [(method, SIGNS[said], said) for method, said in outcomes.items() if said in ("better", "worse")]


def _background(study: Study, about: Page) -> dict[str, Any]:
    """What was run, and by what."""
    first = study.runs[0]
    versions = environment(study)
    return {
        "title": about.title,
        "note": (first.recipe.note or "").strip(),
        "data": data_name(study),
        "index": about.index,
        "command": about.command,
        "rebuilt": about.rebuilt,
        "failed": list(about.record.failed.items()),
        "latex": latex_table(study, about.title),
        "suites": [(suite.name, suite_text(suite)) for suite in suites(study)],
        "recipe": outline(first.recipe.every),
        "environment": versions,
        "version": versions.get("featmask", ""),
        "archive": (about.archive.name, relative_link(about.archive, about.root)) if about.archive else ("", ""),
        "runs": [
            {
                "method": run.method,
                "seed": run.seed,
                "values": [single(run, metric) for metric in study.headline],
                "info": _info(run),
                "files": [] if about.archive else _files(run, about.root),
            }
            for run in study.runs
        ],
    }


def _attachments(study: Study, about: Page) -> dict[str, Any]:
    """Pictures that were drawn, the doctor's checks, the search for options."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    for picture in about.gallery:
        found.setdefault(picture.kind, []).append((picture.caption, *embedded(picture.path)))
    group = None if about.tuning is None else tuning_group(study, about.tuning)
    return {
        "gallery": [(kind, title, found[kind]) for kind, title in GALLERY.items() if kind in found],
        "doctors": _doctors(study),
        "attacked": any(metric.eps is not None for metric in study.metrics if not metric.retrieval),
        "unchecked": trust(None).sentence,
        "tuning": about.tuning,
        "tuning_text": "" if about.tuning is None else tuning_text(about.tuning),
        "tuning_pictures": None if group is None else render(group),
    }


def _doctors(study: Study) -> list[dict[str, Any]]:
    """The doctor's record of every run that has one."""
    found = []
    for run in study.runs:
        told = DOCTOR.find(run.folder)
        if told is not None:
            found.append({"run": f"{run.method}, seed {run.seed}", "trust": trust(told), "groups": checks(told)})
    return found


def _info(run: Run) -> str:
    parts = []
    if run.info.point:
        parts.append(f"at {run.info.point}")
    parts += [f"{key} {value}" for key, value in run.info.set.items()]
    if run.info.best_epoch is not None:
        parts.append(f"epoch {run.info.best_epoch} chosen on validation data")
    if run.info.parameters is not None:
        parts.append(f"{run.info.parameters:,} parameters")
    return ", ".join(parts)


def _files(run: Run, root: Path) -> list[tuple[str, str]]:
    """Name and relative link of what the run left behind."""
    names = ("run.json", "train.jsonl", "recipe.json", "env.json", "doctor.json", "model.safetensors")
    return file_links(run.folder, names, run.suites, root)
