"""What a report says of planted figures: marks, sizes, sentences, and nothing that isn't so."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from featmask.records.figures import Figure, sized
from featmask.report.study.notes import statements
from featmask.report.study.rows import differences, rows, table_csv
from featmask.report.study.tables import aggregate
from featmask.report.study.text import markdown
from featmask.report.study.verdicts import metric_lines, verdict_lines
from oracles.planted import planted

BASE = np.array([0.70, 0.72, 0.71, 0.69, 0.70])
NOISE = np.array([0.010, -0.012, 0.004, 0.007, -0.011])
ACCURACY = Figure("clean", "accuracy")
METHODS = {
    "none": BASE,
    "lfm": BASE + 0.05 + NOISE,
    "dropout": BASE - 0.06 + NOISE / 2,
    "cutout": BASE + np.roll(NOISE, 1),
    "close": BASE + 0.045 + NOISE[::-1],
}


def study(methods=METHODS, name="accuracy", seeds=5, **others):
    return aggregate(planted({name: {m: values[:seeds] for m, values in methods.items()}, **others}))


def test_ties_are_what_the_best_is_not_told_from():
    found = study()
    for method, values in METHODS.items():
        cell = found.cells[method, ACCURACY]
        assert cell.best == (method == "lfm")
        assert cell.tied == (method != "lfm" and ttest_rel(values, METHODS["lfm"]).pvalue > 0.05)
    assert [method for (method, _), cell in found.cells.items() if cell.tied] == ["close"]


def test_of_losses_the_lowest_is_best():
    found = study({m: 1 - v for m, v in METHODS.items()}, "ece")
    assert {m: (c.best, c.tied) for (m, _), c in found.cells.items() if c.best or c.tied} == {
        "lfm": (True, False),
        "close": (False, True),
    }


def test_ties_follow_the_verdicts_other_rules():
    # thousandths of a point, steady: no verdict, so no being told from
    steady = study({"none": BASE, "lfm": BASE + 0.0003 + NOISE / 1e4})
    assert steady.cells["none", ACCURACY].tied
    # few seeds tell nothing, however far apart
    few = study(seeds=4)
    assert [cell.best or cell.tied for cell in few.cells.values()] == [True] * 5
    # equal means are best together, one method alone is nothing
    equal = study({"none": BASE, "lfm": BASE[[1, 0, 2, 3, 4]]})
    assert [(cell.best, cell.tied) for cell in equal.cells.values()] == [(True, False)] * 2
    # steadily below the best on every seed: told from it, though seeds scatter more than that
    below = study({"lfm": BASE, "none": BASE - 0.003 + NOISE / 100})
    assert not below.cells["none", ACCURACY].tied
    alone = study({"lfm": BASE}).cells["lfm", ACCURACY]
    assert not alone.best
    assert not alone.tied
    # no seed in common with the best
    apart = aggregate(planted({"accuracy": {"none": {0: 0.1, 1: 0.2}, "lfm": {2: 0.9, 3: 0.9}}}))
    assert apart.cells["none", ACCURACY].tied


def test_differences_carry_effect_and_least_size():
    by_method = {d.method: d for d in differences(study(), [ACCURACY])}
    for method in ("lfm", "dropout", "cutout"):
        scatter = (METHODS[method] - BASE).std(ddof=1)
        mean = (METHODS[method] - BASE).mean()
        # 0.79788: Hedges' factor at four degrees of freedom; 1.682: power 0.8 over five seeds
        effect = 0.79788 * mean / scatter
        assert by_method[method].effect == (f"{effect:+.1f}" if f"{effect:.1f}" != "-0.0" else "0.0")
        assert by_method[method].least == f"{168.2 * scatter:.1f}"
    few = differences(study(seeds=3), [ACCURACY])[0]
    assert (few.effect, few.least, few.sign_flip) == ("–", "–", "–")
    steady = differences(study({"none": BASE, "lfm": BASE + 0.1, "b": BASE + 0.1 + NOISE / 1e3}), [ACCURACY])
    assert [(d.effect, d.least) for d in steady] == [("–", "–"), ("beyond +20", "0.1")]


def test_sizes_for_people():
    assert sized(ACCURACY, 1.26) == "1.3"
    assert sized(ACCURACY, 0.05) == "0.1"
    assert sized(ACCURACY, 0.02) == "under 0.1"
    assert sized(Figure("clean", "nll"), 0.0001) == "under 0.001"
    assert sized(Figure("clean", "nll"), 0.0) == "0.000"


def test_the_csv_has_every_number_in_full():
    table = {row["method"]: row for row in csv.DictReader(io.StringIO(table_csv(study()))) if row["suite"] == "clean"}
    difference = METHODS["lfm"] - BASE
    assert float(table["lfm"]["effect_size"]) == pytest.approx(
        0.7978846 * difference.mean() / difference.std(ddof=1), rel=1e-5
    )
    assert (
        float(table["lfm"]["effect_low95"]) < float(table["lfm"]["effect_size"]) < float(table["lfm"]["effect_high95"])
    )
    assert float(table["lfm"]["smallest_detectable"]) == pytest.approx(1.682 * difference.std(ddof=1), rel=1e-3)
    assert float(table["lfm"]["t_p"]) == pytest.approx(ttest_1samp(difference, 0).pvalue)
    assert table["cutout"]["seeds_needed"] == ">100"
    assert 2 <= int(table["lfm"]["seeds_needed"]) <= 5
    assert {m: row["best"] for m, row in table.items() if row["best"]} == {"lfm": "best", "close": "tied"}
    assert table["none"]["effect_size"] == table["none"]["seeds_needed"] == ""
    one = csv.DictReader(io.StringIO(table_csv(study(seeds=1))))
    assert all(row[key] == "" for row in one for key in ("effect_size", "smallest_detectable", "seeds_needed"))


def test_correction_covers_methods_and_figures():
    """Benjamini-Hochberg by its definition, over all differences of the first table together."""
    rng = np.random.default_rng(0)
    figures = {
        name: {m: values + rng.normal(0, 0.02, 5) for m, values in METHODS.items()} for name in ("accuracy", "ece")
    }
    found = aggregate(planted({**figures, "other": METHODS}))
    p = {
        (m, name): ttest_rel(figures[name][m], figures[name]["none"]).pvalue
        for name in figures
        for m in METHODS
        if m != "none"
    }
    ordered = sorted(p.values())
    assert found.compared == len(p) == 8
    for (method, name), own in p.items():
        adjusted = min(q * len(p) / (ordered.index(q) + 1) for q in ordered if q >= own)
        assert found.cells[method, Figure("clean", name)].adjusted == pytest.approx(min(1, adjusted))


def test_one_sentence_a_figure():
    line = metric_lines(study())[0]
    assert line.metric == ACCURACY
    assert line.outcomes == {
        "lfm": "better", "dropout": "worse", "cutout": "no difference shown", "close": "better",
    }  # fmt: skip
    least = 168.2 * NOISE.std(ddof=1)
    assert line.sentence == (
        "On clean accuracy: lfm (+5.0) and close (+4.5) better than none; dropout (-6.0) worse than none; "
        f"no difference shown for cutout (0.0); 5 seeds could have shown {least:.1f} points."
    )
    silent = metric_lines(study({"none": BASE, "cutout": BASE + NOISE, "b": BASE + NOISE[::-1] / 2}, "ece"))[0]
    assert silent.sentence == (
        "On calibration error (lower is better) against none: no difference shown for cutout (0.0) and b (0.0); "
        f"5 seeds could have shown {least / 2:.1f} to {least:.1f} points."
    )


def test_few_seeds_and_few_methods_make_short_sentences():
    assert [line.sentence for line in metric_lines(study({"none": BASE, "lfm": BASE + 0.1}, seeds=1))] == [
        "On clean accuracy against none: no claim from 1 seed about lfm (+10.0)."
    ]
    assert metric_lines(study({"none": BASE})) == []
    assert metric_lines(aggregate(planted({"accuracy": {"none": {0: 0.1}, "lfm": {1: 0.2}}}))) == []
    many = {f"m{i}": BASE + NOISE * (i + 1) for i in range(6)}
    assert "no difference shown for 6 methods; " in metric_lines(study({"none": BASE, **many}))[0].sentence
    uneven = {"none": np.r_[BASE, 0.7], "a": np.r_[BASE + NOISE, 0.7], "b": BASE + NOISE}
    assert "; 5 to 6 seeds could have shown" in metric_lines(study(uneven, seeds=6))[0].sentence


def test_a_fragile_claim_bears_its_mark_and_says_what_it_means():
    rng = np.random.default_rng(1)
    near = {"a": np.array([0.01, 0.03, 0.02, 0.002, 0.03])} | {m: rng.normal(0, 0.02, 5) for m in "bcdefghij"}
    said = metric_lines(study({"none": BASE, **{m: BASE + gain for m, gain in near.items()}}))[0]
    assert said.sentence.startswith("On clean accuracy: a (+1.8, †) better than none; ")
    assert said.sentence.endswith("; †: not after correction for 10 comparisons.")


def test_the_first_line_counts_where_the_subject_is_missing():
    others = {m: v for m, v in METHODS.items() if m != "lfm"}
    assert verdict_lines(study(others)) == [
        "3 methods against none: on clean accuracy 1 better, 1 worse and no difference shown for 1."
    ]
    assert verdict_lines(study(others, seeds=2)) == [
        "3 methods against none: on clean accuracy not enough seeds for a claim about 3."
    ]
    # the subject comes first wherever it was run
    assert verdict_lines(study())[0].startswith("lfm against none: better on clean accuracy (5 seeds)")
    assert len(verdict_lines(study())) == 2


def test_statements_say_only_what_is_so():
    enough = " ".join(statements(study()))
    for words in ("p = 0.062 with 5 seeds", "☆ marks", "Effect: ", "Could show: "):
        assert words in enough
    one = " ".join(statements(study(seeds=1)))
    assert "fewer than 5 seeds, all" in one
    assert "sign-flip" not in one
    three = " ".join(statements(study(seeds=3)))
    assert "p = 0.25 with 3 seeds" in three
    for few in (one, three):
        assert "Effect: " not in few
        assert "Could show: " not in few
    alone = " ".join(statements(study({"lfm": BASE})))
    for words in ("☆", "verdict", "sign-flip", "Effect", "Could show"):
        assert words not in alone


def test_markdown_bears_the_same_marks_and_columns():
    text = markdown(study(), "featmask compare x.yaml", "x")
    results = text[text.index("## Results") : text.index("## Differences")]
    half = {m: 2.7764451 * values.std(ddof=1) / np.sqrt(5) for m, values in METHODS.items()}
    assert f"| **{100 * METHODS['lfm'].mean():.1f} ± {100 * half['lfm']:.1f}** ▲ better |" in results
    assert f"| {100 * METHODS['close'].mean():.1f} ± {100 * half['close']:.1f} ☆ ▲ better |" in results
    assert results.count("☆") == 2  # one method, and what the sign means
    assert "| effect | could show |" in text
    assert metric_lines(study())[0].sentence in text.replace("\\", "")
    alone = markdown(study({"lfm": BASE}), "c", "x")
    assert "☆" not in alone
    assert rows(study(), [ACCURACY])[4].fields[0].tied
