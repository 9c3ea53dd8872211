"""The first table for a paper: LaTeX with booktabs and nothing else."""

from __future__ import annotations

import re

from ...records.figures import Figure
from ...stats import ENOUGH_SEEDS
from .notes import suites, warnings, weak
from .rows import Field, Row, rows
from .tables import Study

#: More columns than these do not fit a page in the text's own size.
ROOMY = 4
MARKS = {"better": r"\bigtriangleup", "worse": r"\bigtriangledown"}
ESCAPED = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "–": "--", "—": "---", "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "…": r"\dots{}",
}  # fmt: skip


def latex_table(study: Study, heading: str) -> str:
    r"""A ``table`` environment with the report's first table, to be read by ``\input``.

    It needs ``\usepackage{booktabs}``. Best means are bold, those that cannot be told from them underlined, differences
    to the baseline that are claimed marked; the caption says what that rests on.
    """
    metrics = study.headline
    body = rows(study, metrics)
    uneven = len({row.seeds for row in body}) > 1
    dropped = any(study.info(method, "dropped_fraction") for method in study.methods)
    heads = [
        *[("", "Method", "")],
        *[("", "Seeds", "")] * uneven,
        *((*_stacked(metric.short), _unit(metric)) for metric in metrics),
        *[("", "Dropped", r"\%")] * dropped,
    ]
    slug = re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption[{escaped(heading)}]{{{_caption(study, heading)}}}",
        rf"\label{{tab:{slug or 'results'}}}",
        r"\par\smallskip",
        *[r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"] * (len(heads) > ROOMY),
        rf"\begin{{tabular}}{{@{{}}l{'r' * (len(heads) - 1)}@{{}}}}",
        r"\toprule",
        *(_line(list(cells)) for cells in zip(*heads, strict=True) if any(cells)),
        r"\midrule",
        *(_line(_cells(row, uneven, dropped)) for row in body),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    # a line that begins with a bracket or a star would be read as an option of the line break before it
    guarded = ["{}" + cells[0] if cells[0][:1] in ("[", "*") else cells[0], *cells[1:]]
    return " & ".join(guarded) + r" \\"


def _cells(row: Row, uneven: bool, dropped: bool) -> list[str]:
    figures = [_figure(field) for field in row.fields]
    return [escaped(row.method), *[str(row.seeds)] * uneven, *figures, *[escaped(row.dropped)] * dropped]


def _figure(field: Field) -> str:
    text = escaped(field.text)
    if field.best:
        text = rf"\textbf{{{text}}}"
    elif field.tied:
        text = rf"\underline{{{text}}}"
    mark = MARKS.get(field.outcome, "") + r"\dagger" * field.fragile
    return f"{text}$^{{{mark}}}$" if mark else text


def _stacked(title: str) -> tuple[str, str]:
    """A long title on two lines, cut at the space nearest its middle."""
    spaces = [place for place, sign in enumerate(title) if sign == " "]
    cut = min(spaces, key=lambda place: abs(2 * place - len(title)), default=0)
    return escaped(title[:cut]), escaped(title[cut:])


def _unit(metric: Figure) -> str:
    arrow = r"$\downarrow$" if metric.lower_is_better else ""
    return " ".join(part for part in (escaped(metric.budget), r"\%" if metric.scale != 1 else "", arrow) if part)


def _caption(study: Study, heading: str) -> str:
    """What the figures are means of, what marks mean, and what must not be read into them."""
    n, metrics = study.most_seeds, study.headline
    fewest = min(len(study.runs_of(method)) for method in study.methods)
    seeds = f"{n} training seed{'s' if n > 1 else ''}" if fewest == n else f"{fewest} to {n} training seeds"
    found = [f"{heading.rstrip('.')}"]
    found += [f"Mean over {seeds} ± half its 95 % interval (Student's t)" if n > 1 else "One training seed"]
    if study.challengers:
        told = "" if study.pairs >= ENOUGH_SEEDS else f" (with fewer than {ENOUGH_SEEDS} seeds none can)"
        found += [f"Bold: best mean; underlined: cannot be told from it{told}"]
    text = ". ".join(map(escaped, found)) + "."
    if study.challengers and study.compared:
        baseline = escaped(study.baseline)
        text += (
            rf" $\bigtriangleup$, $\bigtriangledown$: better, worse than {baseline}, where the 95\,\% interval of the "
            "paired difference leaves out zero"
        )
        if any(cell.fragile for (_, metric), cell in study.cells.items() if metric in metrics):
            text += rf"; $\dagger$: not after correction for {study.compared} comparisons"
        text += "."
    if any(metric.lower_is_better for metric in metrics):
        text += r" $\downarrow$: lower is better."
    return " ".join([text, *map(escaped, _measured(study))])


def _measured(study: Study) -> list[str]:
    """On how many samples, and whether stronger attacks may leave less."""
    metrics = study.headline
    shown = {metric.suite for metric in metrics}
    sizes = {suite.name: f"{suite.n} {suite.split} {_things(suite.name, metrics)}" for suite in suites(study)}
    own = {name: size for name, size in sizes.items() if name in shown}
    together = ", ".join(f"{name}: {size}" for name, size in own.items()) if len(set(own.values())) > 1 else ""
    found = [f"Measured on {together or next(iter(own.values()))}."] if own else []
    attacked = [metric for metric in metrics if metric.eps is not None]
    bounded = any(metric.retrieval for metric in attacked) or weak(study.metrics)
    if attacked and (bounded or "upper bound" in " ".join(warnings(study))):
        found.append("Figures under attack are upper bounds: stronger attacks may leave less.")
    return found


def _things(suite: str, metrics: list[Figure]) -> str:
    return "queries" if any(metric.retrieval and metric.suite == suite for metric in metrics) else "samples"


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is, on one line."""
    shown = "".join(ESCAPED.get(sign, sign) for sign in " ".join(text.split()) if sign.isprintable())
    return re.sub(r"(?<=\d) (?=\\%)", r"\\,", shown)
