"""The studies below folders and in zip files: which runs belong together, and where their records lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import FeatmaskError
from ...records.comparison import COMPARISON
from ...records.run import Run, read_runs
from .archive import record_files, unpacked


@dataclass(frozen=True)
class Found:
    """One study on disk, by its recipe's name, and its finished runs as they are shown, seeds ascending.

    Attributes:
        key: of its settings: the name of the folder above the methods.
        folder: that folder, with what the comparison wrote of itself; of a zip file a temporary one.
        archive: the zip file that the runs come from; None where they lie in folders.
    """

    name: str
    key: str
    folder: Path
    runs: list[Run]
    archive: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """Path in an archive -> file, of every record."""
        own = record_files(self.folder, [run.folder for run in self.runs])
        return {f"{self.name}/{self.key}/{name}": path for name, path in own.items()}


@contextmanager
def find_studies(places: Sequence[Path], methods: Sequence[str] | None = None) -> Iterator[list[Found]]:
    """The studies of all places; zip files are unpacked as long as the block lasts.

    Args:
        places: folders above runs, or zip files of ``pack``.
        methods: only these, in this order; default: all, in the order of the comparison, else of the recipe, and
            others after them.

    Raises:
        FeatmaskError: a place that is neither, or that holds no finished run; a method that no study has.
    """
    with ExitStack() as stack:
        found: dict[tuple[str, str], Found] = {}
        # in the order of the places, of one place by name
        for place in places:
            archive = None if place.is_dir() else place
            folder = place if archive is None else stack.enter_context(unpacked(place))
            runs = read_runs(folder)
            if not runs:
                raise FeatmaskError(f"{place} holds no finished run: expected METHOD/seed-N/run.json below it")
            for run in sorted(runs, key=lambda run: str(run.folder)):
                _add(found, run, archive)
        studies = [_ordered(study, methods) for study in found.values()]
        yield _named(studies, methods)


def _add(found: dict[tuple[str, str], Found], run: Run, archive: Path | None) -> None:
    above = run.folder.resolve().parent.parent
    name = _file_name(run.recipe.name or above.parent.name)
    study = found.setdefault((name, above.name), Found(name, above.name, above, [], archive))
    if study.folder != above and not (study.folder / COMPARISON.name).is_file() and (above / COMPARISON.name).is_file():
        study = found[name, above.name] = Found(name, above.name, above, study.runs, archive)
    # the same folder may lie below two of the places
    if run.folder.resolve() not in [other.folder.resolve() for other in study.runs]:
        study.runs.append(run)


def _file_name(text: str) -> str:
    """A recipe's name as that of a folder."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip(".") or "study"


def _ordered(study: Found, methods: Sequence[str] | None) -> Found:
    record = COMPARISON.find(study.folder)
    # runs that were trained one by one: as their recipe has them
    known = list(methods or (record and record.methods) or study.runs[0].recipe.methods or ())
    order = known + sorted({run.method for run in study.runs} - set(known))
    kept = [run for run in study.runs if methods is None or run.method in methods]
    runs = sorted(kept, key=lambda run: (order.index(run.method), run.seed))
    return Found(study.name, study.key, study.folder, runs, study.archive)


def _named(studies: list[Found], methods: Sequence[str] | None) -> list[Found]:
    for method in methods or ():
        if not any(run.method == method for study in studies for run in study.runs):
            raise FeatmaskError(f"no study has finished runs of the method {method!r}")
    return [study for study in studies if study.runs]


def folder_names(studies: Sequence[Found]) -> list[str]:
    """A folder for each study's page: its name, and its key where another study has the same name."""
    often = Counter(study.name.lower() for study in studies)
    return [study.name if often[study.name.lower()] == 1 else f"{study.name}-{study.key}" for study in studies]
