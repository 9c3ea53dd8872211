"""Reports of re-identification runs: known figures in every table, rules and notices beside them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from featmask.records.figures import Figure
from featmask.records.run import read_runs
from featmask.records.suite import Suite, write_suite
from featmask.report import write_report
from featmask.report.study.tables import aggregate, sampling
from featmask.report.study.verdicts import primary_metrics, verdict_lines

ATTACKS = ("mifgsm", "sma", "fna")
RENDERED = "Rendered pictures, not photographs"
RULES = {
    "metric": "euclidean",
    "average_precision": "standard: mean of the precision at each right item",
    "same_camera": "gallery items of the query's id and camera removed",
    "no_match": "counted and left out of the means",
}
QUERIES = 40


def ranking(rng: np.random.Generator, level: float) -> dict[str, np.ndarray]:
    ap = (level + rng.normal(0, 0.1, QUERIES)).clip(0.01, 1)
    return {"rank1": (rng.random(QUERIES) < level).astype(int), "ap": ap, "inp": ap / 2}


def figures(columns: dict[str, np.ndarray]) -> dict[str, float]:
    """The metrics of a suite from its columns: rank1, ap and inp, each under an attack's name or none."""
    names = {"rank1": "rank1", "ap": "mAP", "inp": "mINP"}
    found = {}
    for column, values in columns.items():
        head, at, eps = column.partition("@")
        attack, dot, figure = head.rpartition(".")
        found[f"{attack}{dot}{names[figure]}{at}{eps}"] = float(values.mean())
    return found


def write(folder: Path, name: str, columns: dict[str, np.ndarray], extra=None, warned=(), **settings) -> None:
    described = {"index": np.arange(QUERIES), "pid": np.arange(QUERIES) // 4, "cam": np.arange(QUERIES) % 3}
    settings = {"rules": RULES, "queries": 43, "no_match": 3, "gallery": 977, "notes": [RENDERED], **settings}
    suite = Suite(name, "test", QUERIES, {**figures(columns), **(extra or {})}, settings, warned)
    write_suite(folder, suite, described | columns)


def attacked(rng: np.random.Generator, level: float, budgets) -> dict[str, np.ndarray]:
    clean = ranking(rng, level)
    columns = {f"clean.{figure}": values for figure, values in clean.items()}
    for eps in budgets:
        worst = dict(clean)
        for attack in ATTACKS:
            own = ranking(rng, level / (1 + eps / 4))
            columns |= {f"{attack}.{figure}@{eps}/255": values for figure, values in own.items()}
            worst = {figure: np.minimum(worst[figure], own[figure]) for figure in worst}
        columns |= {f"worst.{figure}@{eps}/255": values for figure, values in worst.items()}
    return columns


def make_run(root: Path, method: str, seed: int, level: float, budgets=(2, 5, 8), sides=("query", "gallery")) -> None:
    folder = root / re.sub(r"\W", "_", method) / f"seed-{seed}"
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, *method.encode()])
    more = {"rank5": 0.9, "rank10": 0.95, "rank20": 0.975}
    write(folder, "clean", ranking(rng, level), more)
    write(folder, "reranked", ranking(rng, level + 0.05), more, k1=20, k2=6, **{"lambda": 0.3})
    write(folder, "cross_b", ranking(rng, level / 2), more)
    for side in sides:
        kinds = [{"name": f"{kind}@{eps}/255", "kind": kind, "steps": 15} for kind in ATTACKS for eps in budgets]
        columns = attacked(rng, level, budgets)
        write(folder, f"attack_{side}", columns, warned=("the first 40 queries only",), attacks=kinds)
    recipe = {"name": "study", "task": "reid", "data": {"name": "streets", "height": 256, "width": 128}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "env.json").write_text(json.dumps({"featmask": "0"}))
    lines = [
        {"epoch": e, "lr": 0.1, "train_loss": 5 / e, "train_accuracy": e / 9, "val_mAP": e / 10, "seconds": 3.0}
        for e in (1, 2, 3)
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    info = {"method": method, "seed": seed, "dropped_fraction": 0.0152, "seconds_per_epoch": 3.0, "val_mAP": 0.3}
    (folder / "run.json").write_text(json.dumps(info))


def make_study(root: Path, levels, seeds=5, **options):
    for method, level in levels.items():
        for seed in range(seeds):
            make_run(root, method, seed, level, **options)
    return read_runs(root, list(levels))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("runs"), {"none": 0.4, "lfm": 0.7, "<b>evil</b>": 0.4})


def test_means_are_those_of_the_raw_columns(runs):
    study = aggregate(runs)
    for suite, name, column in (
        ("clean", "mAP", "ap"),
        ("attack_query", "fna.mINP@5/255", "fna.inp@5/255"),
        ("attack_gallery", "worst.rank1@8/255", "worst.rank1@8/255"),
    ):
        raw = [run.samples[suite][column].mean() for run in runs if run.method == "lfm"]
        assert study.cells["lfm", Figure(suite, name)].interval.mean == pytest.approx(np.mean(raw), abs=1e-12)


def test_the_verdict_speaks_of_map_clean_and_attacked(runs):
    study = aggregate(runs)
    assert [(m.suite, m.name) for m in primary_metrics(study)] == [
        ("clean", "mAP"), ("attack_query", "worst.mAP@5/255"),
    ]  # fmt: skip
    # planted: 0.7 against 0.4 over five seeds
    assert re.match(r"lfm against none: better on mAP and worst-case mAP at 5/255 .*5 seeds", verdict_lines(study)[0])


def test_an_attack_that_leaves_nothing_compares_nothing(tmp_path, runs):
    assert not any("cannot tell methods apart" in line for line in verdict_lines(aggregate(runs)))
    floored = make_study(tmp_path, {"none": 0.001, "lfm": 0.001})
    for run in floored:
        for name in ("worst.mAP@5/255",):
            run.suites["attack_query"].metrics[name] = 0.004 + 1e-5 * run.seed + 2e-5 * (run.method == "lfm")
    lines = verdict_lines(aggregate(floored))
    assert lines[-1].startswith("Worst-case mAP at 5/255 is 0.4 % or less for every method")
    # the same tiny difference with every seed is no claim
    assert not re.search(r"better|worse ", lines[0].replace("worst-case", ""))


def test_only_counted_shares_have_a_range_over_test_queries(runs):
    assert sampling(runs[0], Figure("clean", "rank1")) is not None
    assert sampling(runs[0], Figure("attack_query", "fna.rank1@5/255")) is not None
    for name in ("mAP", "mINP"):
        assert sampling(runs[0], Figure("clean", name)) is None
    assert sampling(runs[0], Figure("attack_query", "fna.mAP@5/255")) is None


def test_mcnemar_is_for_right_or_wrong_alone(tmp_path):
    study = aggregate(make_study(tmp_path, {"none": 0.4, "lfm": 0.7}, seeds=1))
    assert study.cells["lfm", Figure("clean", "rank1")].mcnemar is not None
    assert study.cells["lfm", Figure("clean", "mAP")].mcnemar is None


def test_the_report_states_rules_and_rendering_and_escapes_names(runs, tmp_path):
    write_report(tmp_path, runs, command="featmask compare x.yaml")
    page, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    for written in (page, text):
        assert RENDERED in written
        assert "the first 40 queries only" in written
        assert "items of the query" in written
    assert "<b>evil</b>" not in page
    assert "&lt;b&gt;evil&lt;/b&gt;" in page
    for title in ("Rank-1", "mINP", "FNA", "MI-FGSM", "Gallery attacked, 8/255", "Cross-domain, scored on b"):
        assert title in page, title
    rows = (tmp_path / "table.csv").read_text()
    assert "lfm,attack_gallery,worst.mAP@8/255,5," in rows
