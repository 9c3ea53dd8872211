"""One page that holds everything: no network, no scripts, readable on a phone, in the dark and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...records.comparison import ComparisonRecord
from ...records.doctor import DOCTOR
from ...records.pictures import Picture
from ...records.run import Run
from ...records.tuning import TuningRecord
from ..layout import embedded, file_links, relative_link, rendered
from ..robustness.checks import checks, trust
from ..values import merged, outline
from .blocks import blocks
from .degraded import kind_tables
from .latex import latex_table
from .notes import caution, statements, suite_text, suites, warnings
from .plots import legend, pictures, render
from .retrieval import data_name, every_suite, notices, rules
from .rows import differences, rows, single
from .tables import SIGNS, Study
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
    """What a page of a study is made of, beside the study: ``root`` is the folder where it will lie.

    Attributes:
        command, rebuilt: that made the runs; that made the page anew, empty where it is the same.
        record, tuning: of the comparison; of the search for options.
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
    headline, first = study.headline, study.runs[0].recipe
    others = [metric for metric in study.metrics if metric not in headline]
    # every corruption at every severity is in the CSV: seventy-five columns would drown the others
    unranked = [metric for metric in others if not metric.retrieval and not metric.severity]
    versions = merged(run.environment for run in study.runs)
    images: dict[str, list[tuple[str, str, int]]] = {}
    for picture in about.gallery:
        images.setdefault(picture.kind, []).append((picture.caption, *embedded(picture.path)))
    trials = None if about.tuning is None else tuning_group(study, about.tuning)
    examined = [(run, record) for run in study.runs if (record := DOCTOR.find(run.folder)) is not None]
    return rendered(
        "report.html.j2",
        study=study,
        about=about,
        title=about.title,
        note=(first.note or "").strip(),
        data=data_name(study),
        verdicts=verdict_lines(study),
        by_figure=[(line.metric.title, line.sentence, _signs(line.outcomes)) for line in metric_lines(study)],
        caution=caution(study),
        headline=headline,
        others=unranked,
        blocks=blocks(study),
        main=rows(study, headline),
        rest=rows(study, unranked),
        differences=differences(study, headline),
        other_differences=differences(study, [metric for metric in others if not metric.severity]),
        kinds=kind_tables(study),
        statements=statements(study),
        warnings=warnings(study),
        notices=notices(every_suite(study)),
        rules=rules(suites(study)),
        pictures=pictures(study),
        legend=legend(study),
        attacked=any(metric.eps is not None for metric in study.metrics if not metric.retrieval),
        unchecked=trust(None).sentence,
        doctors=[(f"{run.method}, seed {run.seed}", trust(record), checks(record)) for run, record in examined],
        gallery=[(kind, title, images[kind]) for kind, title in GALLERY.items() if kind in images],
        tuning_text="" if about.tuning is None else tuning_text(about.tuning),
        tuning_pictures=None if trials is None else render(trials),
        latex=latex_table(study, about.title),
        suites=[(suite.name, suite_text(suite)) for suite in suites(study)],
        recipe=outline(first.every),
        environment=versions,
        version=versions.get("featmask", ""),
        archive=(about.archive.name, relative_link(about.archive, about.root)) if about.archive else ("", ""),
        runs=[(run, [single(run, m) for m in headline], _info(run), _files(run, about)) for run in study.runs],
    )


def _signs(outcomes: dict[str, str]) -> list[tuple[str, str, str]]:
    """Method, sign and class of those that are better or worse."""
    return [(method, SIGNS[said], said) for method, said in outcomes.items() if said in ("better", "worse")]


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


def _files(run: Run, about: Page) -> list[tuple[str, str]]:
    """Name and relative link of what the run left behind, where it lies in a folder."""
    names = ("run.json", "train.jsonl", "recipe.json", "env.json", "doctor.json", "model.safetensors")
    return [] if about.archive else file_links(run.folder, names, run.suites, about.root)
