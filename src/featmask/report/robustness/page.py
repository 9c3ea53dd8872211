"""The page of a robustness evaluation: what the template is filled with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..layout import rendered
from . import corrupted, curves, diagrams, tables
from .checks import checks, trust
from .figures import attack_metrics, flips_of, main_budget, norms, region_metrics
from .glance import glance, pairs
from .read import Subject
from .run import cautions, settings_text, told
from .strength import strength
from .verdict import verdict_lines


def page(subjects: Sequence[Subject], root: Path, title: str) -> str:
    """The whole page, for a file in ``root``."""
    return rendered("robustness.html.j2", **_context(subjects, root, title))


def _context(subjects: Sequence[Subject], root: Path, title: str) -> dict[str, Any]:
    described = [told(subject, root) for subject in subjects]
    context: dict[str, Any] = {
        "title": title,
        "version": next((one.environment["featmask"] for one in described if "featmask" in one.environment), ""),
        "data": " | ".join(dict.fromkeys(s.about.data for s in subjects if s.about.data)),
        "several": len(subjects) > 1,
        "subjects": described,
        "verdicts": [(subject.name, verdict_lines(subject, subjects)) for subject in subjects],
        "caution": caution(subjects),
        "glance": glance(subjects),
        "pairs": pairs(subjects),
        "attack_tables": tables.attack_tables(subjects),
        "flips": tables.flip_table(subjects),
        "heats": corrupted.heats(subjects),
        "corruptions_compared": corrupted.compared(subjects),
        "squares": tables.square_table(subjects),
        "calibration": tables.calibration_table(subjects),
        "bins": tables.bin_table(subjects),
        "captions": {"eps": eps_caption(subjects)},
        "legends": {
            "eps": curves.legend(subjects, attack_metrics),
            "squares": curves.legend(subjects, region_metrics),
        },
        "pictures": {
            "eps": curves.eps_panels(subjects),
            "flips": curves.flip_panels(subjects),
            "squares": curves.square_panel(subjects),
            "reliability": diagrams.reliability_panels(subjects),
        },
        "diagnoses": [_diagnosis(subject, number) for number, subject in enumerate(subjects)],
        "cautions": cautions(subjects),
    }
    return context | {"contents": _contents(context)}


def _contents(context: dict[str, Any]) -> list[tuple[str, str]]:
    parts = [
        ("attack_tables", "attacks", "Under attack"),
        ("flips", "flips", "Smallest eps"),
        ("heats", "corruptions", "Corruptions"),
        ("squares", "squares", "Hidden regions"),
        ("calibration", "calibration", "Confidence"),
    ]
    found = [(link, text) for key, link, text in parts if context[key]]
    return [*found, ("doctor", "Can it be trusted?"), ("run", "What was run")]


def _diagnosis(subject: Subject, number: int) -> dict[str, Any]:
    groups = []
    for place, (group, own) in enumerate(checks(subject.doctor)):
        drawn = [(check, diagrams.check_panel(check, f"check-{number}-{place}-{i}")) for i, check in enumerate(own)]
        groups.append((group, drawn))
    return {
        "name": subject.name,
        "trust": trust(subject.doctor),
        "settings": "" if subject.doctor is None else settings_text(subject.doctor.settings),
        "groups": groups,
    }


def caution(subjects: Sequence[Subject]) -> str:
    """What one trained model, and what an upper bound, does not allow to conclude."""
    text = "One trained model each: this speaks of them, not of their methods; other seeds could give other figures."
    if len(subjects) == 1:
        text = "One trained model: this speaks of it, not of its method; another seed could give other figures."
    bounded = any(
        "upper bound" in strength(subject, norm, eps).label
        for subject in subjects
        for norm in norms(subject)
        if (eps := main_budget(subjects, norm)) is not None
    )
    apart = " An upper bound on robust accuracy is not to be set beside AutoAttack figures: more may be found."
    return text + apart * bounded


def eps_caption(subjects: Sequence[Subject]) -> str:
    """How the picture of attacks is to be read."""
    searched = {flips_of(subject, norm) is not None for subject in subjects for norm in norms(subject)}
    parts = ["Accuracy against the size of the perturbation; 0 is not attacked"]
    if True in searched:
        parts.append("A full line is the share of samples that no smaller perturbation was found to flip")
    if False in searched:
        parts.append("A dashed one joins the worst cases")
    said = ". ".join(parts)
    signs = "worst cases" if len(subjects) > 1 else "what single attacks, and all of them at the worst, left right"
    return f"{said}. The band is Wilson’s 95 % interval. Signs are {signs}, at the sizes that were measured."
