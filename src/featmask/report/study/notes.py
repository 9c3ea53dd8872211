"""What a reader must know beside the figures: how sure they are, what was run, on what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...records.figures import Figure
from ...records.names import STRONG
from ...records.suite import Suite
from ...stats import ENOUGH_SEEDS, SHOWN, smallest_p
from . import retrieval
from .tables import Study


def caution(study: Study) -> str:
    """What so few seeds do not allow to conclude; empty where there are enough."""
    n = study.most_seeds
    if n >= ENOUGH_SEEDS:
        return ""
    seeds = "One training seed" if n == 1 else f"{n} training seeds"
    if not study.challengers:
        return f"{seeds}: another could give other figures."
    return (
        f"{seeds}: differences here describe these runs and are not evidence about the methods. Another seed could "
        f"turn them around. A claim needs {ENOUGH_SEEDS} seeds or more."
    )


def statements(study: Study) -> list[str]:
    """How the figures are to be read."""
    found = [
        "Two kinds of chance are kept apart. Intervals over seeds speak of other training seeds on this test set; the "
        "ranges beside single runs (Wilson, 95 %) speak of other test samples for that one model."
    ]
    if study.challengers:
        found += _comparing(study)
    if study.compared > 1:
        found.append(
            f"The first table tests {study.compared} differences. If there were none at all, about "
            f"{study.compared / 20:.1f} of them would still be called better or worse. † marks those that do not stay "
            "below 5 % after correction over a whole table (Benjamini and Hochberg)."
        )
    classified = [metric for metric in study.metrics if not metric.retrieval]
    if any(metric.worst and metric.budget for metric in classified):
        found.append(
            "Worst case: an image counts as right only if it is right before and after every attack of that size."
        )
    if "upper bound" not in " ".join(warnings(study)) and weak(classified):
        found.append(
            "FGSM and PGD alone give an upper bound on robust accuracy: stronger attacks may find more. Such figures "
            "are not to be set beside AutoAttack figures."
        )
    found += retrieval.statements(study)
    if len(study.challengers) > 0 and any(study.info(method, "dropped_fraction") for method in study.methods):
        found.append(
            "At the same nominal p methods drop different shares of the activations; the share shown is measured."
        )
    return found


def weak(metrics: Sequence[Figure]) -> bool:
    """Whether classifiers were attacked, and by nothing stronger than FGSM and PGD."""
    attacks = [metric.attack for metric in metrics if metric.eps is not None and not metric.retrieval]
    return bool(attacks) and not any(attack.base in STRONG and not attack.transferred for attack in attacks)


def _comparing(study: Study) -> list[str]:
    """How differences are to be read, and what marks beside them mean."""
    n = study.pairs
    text = (
        f"A verdict needs {ENOUGH_SEEDS} seeds and a 95 % interval of the paired difference that leaves out zero, "
        f"and, of shares, a difference of {SHOWN} points or more."
    )
    if n > 1:
        text += f" The sign-flip test, which assumes least, cannot go below p = {smallest_p(n):.2g} with {n} seeds."
    if n < ENOUGH_SEEDS:
        return [text, f"☆ marks means that cannot be told from the best: with fewer than {ENOUGH_SEEDS} seeds, all."]
    return [
        text,
        "☆ marks means that cannot be told from the best, by the same rule. The more methods there are, the more of "
        "them lose it by chance: of seven equal ones, at least one does in four figures of ten.",
        "Effect: the mean difference in standard deviations of the paired differences, corrected for few seeds "
        "(Hedges). It says how steady a difference is over seeds, not how large.",
        "Could show: the smallest true difference that so many seeds find in four studies of five (paired t test at "
        "5 %), if differences scatter as they did here. A smaller one may be there and was not seen.",
    ]


def warnings(study: Study) -> list[str]:
    """What the suites warn of (those of rankings above the figures: ``notices``), what is uneven; each once."""
    every = retrieval.every_suite(study)
    found = {f"{s.name}: {text}": None for s in every if not retrieval.is_retrieval(s) for text in s.warnings}
    found |= dict.fromkeys(retrieval.uneven(study))
    counts = {method: len(study.runs_of(method)) for method in study.methods}
    if len(set(counts.values())) > 1:
        found["Methods have different numbers of runs: " + ", ".join(f"{m} {c}" for m, c in counts.items())] = None
    if any(run.recipe != study.runs[0].recipe for run in study.runs):
        found["The runs come from different recipes; the first one's is shown"] = None
    for suite in suites(study):
        sizes = {other.n for other in every if other.name == suite.name}
        if len(sizes) > 1:
            found[f"{suite.name}: runs were measured on different numbers of samples: {sorted(sizes)}"] = None
    left = {
        f"{suite.name}: {name} of {run.method}"
        for run in study.runs
        for suite in run.suites.values()
        for name, value in suite.metrics.items()
        if not math.isfinite(value)
    }
    if left:
        found["Figures that are not finite were left out: " + ", ".join(sorted(left))] = None
    return list(found)


def suites(study: Study) -> list[Suite]:
    """The first of each name."""
    found = {suite.name: suite for suite in reversed(retrieval.every_suite(study))}
    return sorted(found.values(), key=lambda suite: retrieval.suite_place(suite.name))


def suite_text(suite: Suite) -> str:
    """On what a suite was measured, and with which attacks."""
    ranked = retrieval.is_retrieval(suite)
    text = retrieval.size_text(suite) if ranked else f"{suite.n} {suite.split} samples"
    attacks = suite.settings.get("attacks")
    told = {"attacks", "notes", "key", "quantised", *(("rules", "queries", "no_match", "gallery") if ranked else ())}
    rest = {key: value for key, value in suite.settings.items() if key not in told and value is not None}
    if rest:
        text += "; " + ", ".join(f"{key} {value}" for key, value in rest.items())
    if isinstance(attacks, list):
        text += "; " + "; ".join(_attack(attack) for attack in attacks)
    if ranked and suite.settings.get("rules"):
        text += f"; scored: {retrieval.rules_text(suite.settings['rules'])}"
    return "; ".join([text, *retrieval.said(suite)])


def _attack(attack: Any) -> str:
    if not isinstance(attack, Mapping):
        return str(attack)
    steps, restarts = attack.get("steps"), attack.get("restarts")
    # one step is what FGSM is: what a record says about its steps means nothing
    if attack.get("kind") == "fgsm" or steps is None:
        return str(attack.get("name", attack))
    text = f"{attack.get('name')} with {steps} step{'' if steps == 1 else 's'}"
    return text if restarts is None else f"{text}, {restarts} restart{'' if restarts == 1 else 's'}"
