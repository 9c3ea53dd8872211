"""What a reader must know beside figures of a ranking: how it was scored, on what images, against which attacker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...records.figures import Figure
from ...records.names import GUIDED, RANKINGS, other_domain
from ...records.suite import Suite
from ...records.titles import ATTACKS
from ..values import enumerated
from .tables import Study


def is_retrieval(suite: Suite) -> bool:
    """Whether a suite scores rankings."""
    return "rules" in suite.settings or any(Figure(suite.name, name).retrieval for name in suite.metrics)


def notices(suites: Iterable[Suite]) -> list[str]:
    """What must stand beside the figures wherever they are shown: notes, and warnings about rankings; each once."""
    return _together((suite.name, said(suite)) for suite in suites)


def every_suite(study: Study) -> list[Suite]:
    """Those of all runs."""
    return [suite for run in study.runs for suite in run.suites.values()]


def said(suite: Suite) -> list[str]:
    """A suite's own notices."""
    notes = suite.settings.get("notes") or []
    texts = [notes] if isinstance(notes, str) else list(notes)
    texts += suite.warnings if is_retrieval(suite) else ()
    return list(dict.fromkeys(str(text).strip().rstrip(".") for text in texts))


def data_name(study: Study) -> str:
    """The data that was trained on, by the word "rendered" where notices say so; empty where the recipe names none."""
    name = str((study.runs[0].recipe.data or {}).get("name") or "")
    texts = [text for suite in every_suite(study) if not other_domain(suite.name) for text in said(suite)]
    return f"{name} (rendered)" if name and any("rendered" in text.lower() for text in texts) else name


def rules(suites: Iterable[Suite]) -> list[str]:
    """The scoring rules, suites with the same ones together."""
    texts = ((suite.name, rules_text(suite.settings.get("rules"))) for suite in suites)
    return _together((name, [text] if text else []) for name, text in texts)


def _together(said_by: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Each text once, before it the suites that it holds for; none where it holds for all."""
    found: dict[str, set[str]] = {}
    every = set()
    for name, texts in said_by:
        every.add(name)
        for text in texts:
            found.setdefault(text, set()).add(name)
    return [
        text[:1].upper() + text[1:] if names == every else f"{', '.join(sorted(names, key=suite_place))}: {text}"
        for text, names in found.items()
    ]


def suite_place(suite: str) -> tuple[int, str]:
    """A suite's place among others: clean, re-ranked, other data sets, attacked queries, attacked gallery, the rest."""
    known = "cross" if other_domain(suite) else suite
    return RANKINGS.index(known) if known in RANKINGS else len(RANKINGS), suite


def rules_text(value: Any) -> str:
    """Rules as one line, whatever they were recorded as."""
    if isinstance(value, Mapping):
        return "; ".join(f"{str(key).replace('_', ' ')}: {inner}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return "; ".join(map(str, value))
    return str(value or "")


def size_text(suite: Suite) -> str:
    """How many queries were scored against how large a gallery."""
    text = f"{suite.n} {suite.split} queries with a match"
    every, without, gallery = (suite.settings.get(key) for key in ("queries", "no_match", "gallery"))
    if every is not None:
        text += f", of {every}"
    if without is not None:
        text += f" ({without or 'none'} without a match left out)"
    return text + ("" if gallery is None else f"; gallery of {gallery}")


def statements(study: Study) -> list[str]:
    """How figures of rankings are to be read; nothing where there are none."""
    metrics = [metric for metric in study.metrics if metric.retrieval]
    if not metrics:
        return []
    found = [
        "Rank-1: the share of queries whose first answer is right. mAP: the mean of the queries' average precision. "
        "mINP: the mean over queries of the number of right answers, divided by the rank of the last of them. Of these "
        "only Rank-1 is a counted share: mAP and mINP have no Wilson range and no McNemar test. Queries of one person "
        "are alike, so ranges over test samples are rather too narrow."
    ]
    if any(metric.suite == "reranked" for metric in metrics):
        found.append(
            "Re-ranked: the same features, ordered anew by shared neighbours (k-reciprocal re-ranking), which uses the "
            "whole gallery and the other queries; compare it only with re-ranked figures."
        )
    if any(metric.domain for metric in metrics):
        found.append("Cross-domain: scored on another data set; nothing was trained or chosen there.")
    return found + _attacks(metrics)


def _attacks(metrics: list[Figure]) -> list[str]:
    attacked = [metric for metric in metrics if metric.attacked and metric.budget]
    if not attacked:
        return []
    kinds = {metric.kind for metric in attacked}
    guided = [ATTACKS[kind] for kind in GUIDED if kind in kinds]
    text = "The attacks on retrieval are white-box: they follow the gradients of the model that is scored."
    if guided:
        text += (
            f" {enumerated(guided)} choose{'s' if len(guided) == 1 else ''} guide images by the true identities, which "
            "a real attacker may not know; the guides' rule stands with the suite."
        )
    if "misranking" in kinds:
        text += " Mis-Ranking's generator is trained beforehand, against that model."
    text += (
        " What is left is an upper bound on what survives: stronger attacks may leave less. Such figures are not to be "
        "set beside figures of other budgets, of other guides' rules, or of AutoAttack."
    )
    found = [text]
    if any(metric.worst for metric in attacked):
        found.append(
            "Worst case of retrieval: for each query and figure, the lowest score over all attacks of that size."
        )
    if len({metric.side for metric in attacked}) > 1:
        found.append("Queries and gallery are attacked separately: in each suite the other side is clean.")
    return found


def uneven(study: Study) -> list[str]:
    """Suites that were scored by different rules in different runs: their figures are not comparable."""
    texts: dict[str, set[str]] = {}
    for suite in filter(is_retrieval, every_suite(study)):
        texts.setdefault(suite.name, set()).add(rules_text(suite.settings.get("rules")))
    return [
        f"{name}: runs were scored by different rules, so their figures are not comparable: {' | '.join(sorted(found))}"
        for name, found in texts.items()
        if len(found) > 1
    ]
