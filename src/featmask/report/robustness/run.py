"""What was run: settings of every suite, attacks one by one, versions, and what a reader must be warned of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...records.doctor import DoctorRecord
from ...records.names import STEPLESS, Name
from ...records.subject import SubjectRecord
from ...records.suite import Suite
from ...records.titles import attack_title
from ..layout import file_links
from ..values import merged, outline
from .read import Subject
from .strength import deviations

#: Told in a table or elsewhere on the page, or of no use to a reader.
_TOLD = ("attacks", "deviations", "quantised", "key", "kinds", "smallest", "ood", "ood_n")
_SETTINGS = ("steps", "restarts", "loss", "targets", "eot", "step_size", "momentum", "positions", "fill", "version",
             "library")  # fmt: skip


@dataclass(frozen=True)
class Told:
    """What was run on one model."""

    name: str
    facts: list[tuple[str, str]]
    commands: list[str]
    suites: list[tuple[str, str, list[str]]]
    environment: dict[str, str]
    recipe: str
    files: list[tuple[str, str]]


def told(subject: Subject, root: Path) -> Told:
    """For the page at ``root``."""
    about, doctor = subject.about, subject.doctor
    sources: list[SubjectRecord | DoctorRecord] = [about] if doctor is None else [about, doctor]
    suites = [(name, suite_facts(suite), attack_facts(suite)) for name, suite in subject.suites.items()]
    if doctor is not None and doctor.settings:
        suites.append(("doctor", settings_text(doctor.settings), []))
    return Told(
        subject.name,
        facts(subject),
        list(dict.fromkeys(source.command for source in sources if source.command)),
        suites,
        merged(source.environment for source in sources),
        outline(about.recipe or {}),
        file_links(subject.folder, ("subject.json", "doctor.json"), subject.suites, root),
    )


def facts(subject: Subject) -> list[tuple[str, str]]:
    """What was measured."""
    about = subject.about
    known = {"checkpoint": about.checkpoint, "method": about.method, "data": about.data, "training seed": about.seed}
    found = [(title, str(value)) for title, value in known.items() if value is not None]
    names, number = about.classes, subject.classes
    if number:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        found.append(("classes", f"{number}: {shown}" if names else str(number)))
    if about.dropped_fraction is not None:
        found.append(("dropped in training", f"{100 * about.dropped_fraction:.2f} % of the activations, measured"))
    if about.sha256:
        found.append(("SHA-256", about.sha256))
    return found


def suite_facts(suite: Suite) -> str:
    """Samples and settings; which samples is part of it."""
    # without a limit in the record it may still be of a part that the caller chose: "all" is not claimed
    which = "the first " if suite.settings.get("limit") is not None else ""
    text = f"{which}{suite.n:,} {suite.split} samples, those already wrong included"
    rest = {key: value for key, value in suite.settings.items() if key not in (*_TOLD, "limit") and value is not None}
    searched = suite.settings.get("smallest")
    if isinstance(searched, Mapping):
        attack = searched.get("attack")
        name = attack.get("name") if isinstance(attack, Mapping) else attack
        rest["smallest eps"] = f"{searched.get('rounds')} halvings with {Name.parse(str(name)).kind}"
    if suite.settings.get("ood"):
        rest["other data"] = f"{suite.settings['ood']} ({suite.settings.get('ood_n', '?')} images)"
    return text + (f"; {settings_text(rest)}" if rest else "")


def attack_facts(suite: Suite) -> list[str]:
    """One line for each attack, its sizes together where nothing else differs."""
    listed = suite.settings.get("attacks")
    found: dict[str, list[str]] = {}
    for attack in listed if isinstance(listed, list) else []:
        if not isinstance(attack, Mapping):
            found.setdefault(str(attack), [])
            continue
        name = Name.parse(str(attack.get("name", "?")))
        inner = attack.get("attack")  # of a transferred one: what was run on the other model
        own = {**inner, **attack} if isinstance(inner, Mapping) else attack
        keys = [key for key in _SETTINGS if own.get(key) is not None and _matters(own, key)]
        said = ", ".join(f"{key.replace('_', ' ')} {own[key]}" for key in keys)
        found.setdefault(attack_title(name.kind) + (f": {said}" if said else ""), []).append(name.size)
    sizes = {text: ", ".join(filter(None, budgets)) for text, budgets in found.items()}
    return [f"{text} (at {listed})" if listed else text for text, listed in sizes.items()]


def _matters(attack: Mapping[str, Any], key: str) -> bool:
    # one step is what FGSM is, and a hidden square takes none; no targets and one pass are what is usual
    if attack.get("kind") in STEPLESS and key in ("steps", "restarts"):
        return False
    if key == "positions" and attack.get("kind") == "erasing":
        return False
    return not ((key == "targets" and attack[key] == 0) or (key == "eot" and attack[key] == 1))


def cautions(subjects: Sequence[Subject]) -> list[str]:
    """Warnings of the suites, what is not standard, what is unfinished or uneven; each once."""
    several = len(subjects) > 1
    found: dict[str, None] = {}
    for subject in subjects:
        start = f"{subject.name}, " if several else ""
        for name, suite in subject.suites.items():
            said = [str(text).removeprefix("non-standard: ").strip().rstrip(".") for text in suite.warnings]
            changed = [f"non-standard: {text}" for text in deviations(subject, name)]
            said = [text for text in said if f"non-standard: {text}" not in changed]
            found |= dict.fromkeys(f"{start}{name}: {text}" for text in [*said, *changed])
        left_out = "was begun and is not finished: it is left out"
        found |= {f"{start}{name} {left_out}": None for name in subject.unfinished}
    for name in dict.fromkeys(name for subject in subjects for name in subject.suites):
        sizes = {subject.suites[name].n for subject in subjects if name in subject.suites}
        if len(sizes) > 1:
            found[f"{name}: models were measured on different numbers of samples: {sorted(sizes)}"] = None
    if len({subject.about.data for subject in subjects}) > 1:
        found["The models were measured on different data: their figures are not to be compared"] = None
    return list(found)


def settings_text(values: Mapping[str, Any]) -> str:
    """Settings in one line."""
    return ", ".join(f"{str(key).replace('_', ' ')} {_plain(value)}" for key, value in values.items())


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{key} {inner}" for key, inner in value.items()) + ")"
    return str(value)
