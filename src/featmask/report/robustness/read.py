"""What an evaluation left in a folder: whose figures, the suites, the doctor's checks. Any part may be missing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ...errors import FeatmaskError
from ...records.doctor import DOCTOR, DoctorRecord
from ...records.figures import Figure
from ...records.names import SUITES
from ...records.subject import SUBJECT, SubjectRecord
from ...records.suite import Columns, Suite, read_suites


@dataclass(frozen=True)
class Subject:
    """One model and all that was measured on it.

    Attributes:
        name: for people, different for every subject of a page.
        about, doctor: ``subject.json``, with nothing known where there is none; ``doctor.json``, None where no checks
            were run.
        suites, samples: by suite figures, and outcomes per sample.
        unfinished: suites that were begun and not finished.
    """

    folder: Path
    name: str
    about: SubjectRecord
    suites: dict[str, Suite]
    samples: dict[str, Columns]
    doctor: DoctorRecord | None
    unfinished: tuple[str, ...] = ()

    @cached_property
    def metrics(self) -> tuple[Figure, ...]:
        """Every figure of every suite."""
        return tuple(Figure(suite.name, name) for suite in self.suites.values() for name in suite.metrics)

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Suite -> which samples it was measured on: equal where a comparison per sample is allowed."""
        digests = {name: hashlib.sha256() for name in self.samples}
        for name, columns in self.samples.items():
            for part in ("index", "label"):
                if part in columns:
                    digests[name].update(part.encode() + columns[part].tobytes())
        return {name: digest.hexdigest() for name, digest in digests.items()}

    @property
    def classes(self) -> int | None:
        """How many there are, if it is known."""
        if self.about.classes:
            return len(self.about.classes)
        counts = [suite.settings.get("classes") for suite in self.suites.values()]
        return next((count for count in counts if isinstance(count, int)), None)


def read_subjects(folders: Sequence[Path]) -> list[Subject]:
    """Read folders in their order; names that come twice are told apart by their folders.

    Raises:
        FeatmaskError: no folders, one twice, or one without any record.
    """
    if not folders:
        raise FeatmaskError("expected one or more folders of records, got none")
    paths = [Path(folder).resolve() for folder in folders]
    twice = [str(path) for path, times in Counter(paths).items() if times > 1]
    if twice:
        raise FeatmaskError(f"expected each folder once, got {twice[0]} more than once")
    found = [read_subject(Path(folder)) for folder in folders]
    found = _told_apart(found, lambda one: f"{one.name} ({one.folder.resolve().name})")
    return _told_apart(found, lambda one: f"{one.name} ({one.folder})")


def _told_apart(subjects: list[Subject], rename: Callable[[Subject], str]) -> list[Subject]:
    often = Counter(one.name for one in subjects)
    return [replace(one, name=rename(one)) if often[one.name] > 1 else one for one in subjects]


def read_subject(folder: Path) -> Subject:
    """Read one folder.

    Raises:
        FeatmaskError: it holds no record, or one that cannot be read.
    """
    if not folder.is_dir():
        raise FeatmaskError(f"expected a folder of records (featmask evaluate --save), but {folder} is none")
    about = SUBJECT.find(folder) or SubjectRecord()
    doctor = DOCTOR.find(folder)
    suites, samples = read_suites(folder)
    if not suites and doctor is None:
        raise FeatmaskError(
            f"{folder} holds no records: expected eval/*.json or doctor.json; run featmask evaluate first"
        )
    order, ending = sorted(suites, key=suite_place), ".partial.jsonl"
    suites, samples = {name: suites[name] for name in order}, {name: samples[name] for name in order}
    title = " ".join(str(about.title or folder.resolve().name or folder).split())
    begun = (path.name.removesuffix(ending) for path in sorted((folder / "eval").glob(f"*{ending}")))
    unfinished = tuple(name for name in begun if name not in suites)
    return Subject(folder, title, about, suites, samples, doctor, unfinished)


def suite_place(name: str) -> tuple[int, str]:
    """A suite's place among others; those that are not known come last, by name."""
    return (SUITES.index(name) if name in SUITES else len(SUITES)), name
