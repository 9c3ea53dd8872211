"""The LaTeX table: figures and marks of planted runs, and text that LaTeX reads as it is meant."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

from featmask.report.study.latex import escaped, latex_table
from featmask.report.study.tables import aggregate
from oracles.planted import planted

BASE = np.array([0.70, 0.72, 0.71, 0.69, 0.70])
NOISE = np.array([0.010, -0.012, 0.004, 0.007, -0.011])
METHODS = {
    "none": BASE,
    "lfm_published": BASE + 0.05 + NOISE,
    "dropout": BASE - 0.06 + NOISE / 2,
    "close": BASE + 0.045 + NOISE[::-1],
}


def table(figures, heading="A study", **options) -> str:
    return latex_table(aggregate(planted(figures, **options)), heading)


def cells(text: str) -> dict[str, list[str]]:
    """First cell -> the others, of the lines between the rules."""
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    lines = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines()[1:]]
    return {line[0]: line[1:] for line in lines}


def caption(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(r"\caption"))


def test_figures_and_marks():
    found = cells(table({"accuracy": METHODS, "ece": {m: np.roll(v, 1) for m, v in METHODS.items()}}))
    half = {m: 2.7764451 * 100 * values.std(ddof=1) / np.sqrt(5) for m, values in METHODS.items()}
    shown = {m: rf"{100 * METHODS[m].mean():.1f} $\pm$ {half[m]:.1f}" for m in METHODS}
    assert found["none"] == [shown["none"], shown["none"], "0.00"]
    best, lowest = found[r"lfm\_published"][0], found["dropout"][1]
    assert best == rf"\textbf{{{shown['lfm_published']}}}$^{{\bigtriangleup}}$"
    assert lowest == rf"\textbf{{{shown['dropout']}}}$^{{\bigtriangleup}}$"  # of errors
    assert found["dropout"][0] == rf"{shown['dropout']}$^{{\bigtriangledown}}$"
    assert found["close"][0] == rf"\underline{{{shown['close']}}}$^{{\bigtriangleup}}$"
    assert found["close"][2] == "10.00"


def test_the_caption_says_what_figures_rest_on():
    said = caption(table({"accuracy": METHODS, "ece": METHODS}, "A study of 5 % & more"))
    for words in (
        r"\caption[A study of 5\,\% \& more]{A study of 5\,\% \& more.",
        r" Mean over 5 training seeds $\pm$ half its 95\,\% interval (Student's t).",
        "underlined: cannot be told from it.",
        r"better, worse than none, where the 95\,\% interval",
        r"$\downarrow$: lower is better.",
        "Measured on 656 test samples.",
    ):
        assert words in said
    assert "upper bound" not in said
    assert "dagger" not in said


def test_nothing_is_said_that_is_not_so():
    one = caption(table({"accuracy": {m: v[:1] for m, v in METHODS.items()}}))
    assert "One training seed." in one
    assert "(with fewer than 5 seeds none can)" in one
    for words in ("interval", "Mean over", "better", r"\pm"):
        assert words not in one
    alone = caption(table({"accuracy": {"lfm": BASE}}))
    for words in ("Bold", "underlined", "better", "than"):
        assert words not in alone
    uneven = table({"accuracy": {"none": BASE, "lfm": BASE[:3]}})
    assert "Mean over 3 to 5 training seeds" in caption(uneven)
    assert {method: line[0] for method, line in cells(uneven).items()} == {"none": "5", "lfm": "3"}
    assert "better" not in caption(uneven)


@pytest.mark.parametrize(
    ("figure", "suite", "warned", "bounded"),
    [
        ("worst@2/255", "linf", (), True),
        ("worst@2/255", "linf", ("an upper bound",), True),
        ("worst.mAP@2/255", "attack_query", (), True),
        ("accuracy", "clean", (), False),
    ],
)
def test_upper_bounds_are_called_so(figure, suite, warned, bounded):
    said = caption(table({figure: METHODS}, suite=suite, warned=warned))
    assert ("upper bounds" in said) == bounded
    assert ("queries" in said) == ("mAP" in figure)


def test_strong_attacks_are_not_called_weak():
    both = {"apgd-dlr-t@2/255": METHODS, "worst@2/255": METHODS}
    assert "upper bounds" not in caption(table(both, suite="linf"))


def test_claims_that_many_comparisons_explain_bear_a_dagger():
    rng = np.random.default_rng(1)
    near = {"a": np.array([0.01, 0.03, 0.02, 0.002, 0.03])} | {m: rng.normal(0, 0.02, 5) for m in "bcdefghij"}
    text = table({"accuracy": {"none": BASE, **{m: BASE + gain for m, gain in near.items()}}})
    assert cells(text)["a"][0].endswith(r"$^{\bigtriangleup\dagger}$")
    assert r"$\dagger$: not after correction for 10 comparisons." in caption(text)


NASTY = ("none", r"a\b{c}$d$", "x & y_z #1 50%", "~^<b>|", "[option]", "*", "über – 2 ± 1", "two\nlines\x07")


def test_names_are_read_as_text():
    assert escaped(r"\{}$&#_%~^<>|") == (
        r"\textbackslash{}\{\}\$\&\#\_\%\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}"
    )
    text = table({"accuracy": dict.fromkeys(NASTY, BASE)}, "50% _ of $1 \\input{x}")
    assert {len(line) for line in cells(text).values()} == {2}
    assert r"\input" not in text
    assert "{}[option] & " in text
    assert "{}* & " in text
    assert "two lines & " in text
    # every brace is closed, no comment swallows a line
    plain = re.sub(r"\\[\\{}%$&#_]", "", text)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert [line for line in plain.splitlines() if "%" in line] == [r"% needs \usepackage{booktabs}"]


def test_columns_agree():
    text = table(dict.fromkeys(("accuracy", "balanced_accuracy", "ece", "corrupted"), METHODS))
    columns = re.search(r"\\begin\{tabular\}\{@\{\}(l?r*)@\{\}\}", text)[1]
    head = text[text.index(r"\toprule") : text.index(r"\midrule")].splitlines()[1:]
    assert {line.count(" & ") + 1 for line in head} == {len(columns)} == {6}
    assert {len(line) + 1 for line in cells(text).values()} == {6}
    assert r"\label{tab:a-study}" in text


LATEX = shutil.which("pdflatex")


@pytest.mark.slow
@pytest.mark.skipif(LATEX is None, reason="no pdflatex")
def test_it_compiles_with_booktabs_alone(tmp_path):
    for name, methods in {"nasty": {name: BASE + i / 100 for i, name in enumerate(NASTY)}, "plain": METHODS}.items():
        text = table(dict.fromkeys(("accuracy", "ece", "worst@2/255"), methods), "50% _ of $1")
        (tmp_path / "table.tex").write_text(text)
        around = (r"\documentclass{article}\usepackage{booktabs}\begin{document}", r"\input{table}", r"\end{document}")
        (tmp_path / "paper.tex").write_text("\n".join(around))
        done = subprocess.run(
            [str(LATEX), "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stdout[-2000:]}"
        assert "Overfull" not in done.stdout or name == "nasty"
        assert (tmp_path / "paper.pdf").is_file()
