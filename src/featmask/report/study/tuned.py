"""The search for options, for the page: what was spent, what was searched, what was found."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ...drawing.svg import marks, row_panel
from ...records.tuning import MethodSearch, TuningRecord
from .lines import Group, Panel
from .tables import Study

NAMES = {"val_accuracy": "validation accuracy", "val_mAP": "validation mAP", "val_loss": "validation loss"}


def tuning_text(tuning: TuningRecord) -> str:
    """The budget in words."""
    text = f"Each method had {tuning.trials} trial{'' if tuning.trials == 1 else 's'}"
    if tuning.epochs:
        text += f" of {tuning.epochs} epoch{'' if tuning.epochs == 1 else 's'}"
    if tuning.seed is not None:
        text += f" (seed {tuning.seed}, which no run of the comparison has)"
    judged = NAMES.get(tuning.metric or "", tuning.metric) or "validation data"
    text += f", judged by {judged} alone; no test image was used."
    if tuning.seconds:
        hours = tuning.seconds / 3600
        text += f" All trials together took {f'{hours:.1f} h' if hours >= 1 else f'{tuning.seconds / 60:.1f} min'}."
    return text


def tuning_group(study: Study, tuning: TuningRecord) -> Group | None:
    """Every trial as a mark."""
    entries = {method: entry for method, entry in tuning.methods.items() if entry.finished}
    if not entries:
        return None
    name = NAMES.get(tuning.metric or "", tuning.metric or "")
    text = f"Every trial a mark, by {name}; the upright bar is the best one, whose options are used."
    return Group("", text, [Panel("tuning", partial(_trials, study, name, entries))])


def _trials(study: Study, name: str, entries: Mapping[str, MethodSearch], make: Any) -> tuple[Any, str]:
    title = f"{name[:1].upper()}{name[1:]} of every trial"
    figure, ax = row_panel(make, title, "%, higher is better", list(entries))
    for row, (method, entry) in enumerate(entries.items()):
        place = study.methods.index(method) if method in study.methods else row
        best = None if entry.value is None else 100 * entry.value
        marks(ax, row, place, [100 * value for value in entry.finished], best)
    ax.margins(x=0.08)
    ax.locator_params(axis="x", nbins=6)
    return figure, f"{name} of every trial, a row a method"
