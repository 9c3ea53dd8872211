"""The report: figures equal those computed another way, everything is escaped, nothing is fetched."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from featmask.errors import FeatmaskError
from featmask.report import write_report
from featmask.results import Suite, read_runs, write_suite

METHODS = ("none", "lfm", "<script>alert(1)</script>")


def make_run(root: Path, method: str, seed: int, right: np.ndarray, attacked: bool = True) -> None:
    folder = root / re.sub(r"\W", "_", method) / f"seed-{seed}"
    folder.mkdir(parents=True)
    n = len(right)
    samples = {"index": np.arange(n), "label": np.zeros(n, int), "correct": right}
    write_suite(folder, Suite("clean", "test", n, {"accuracy": right.mean(), "ece": 0.1, "nll": 0.4}), samples)
    if attacked:
        worst = right * (np.arange(n) % 2)
        metrics = {"clean": right.mean(), "pgd@0.5/255": worst.mean(), "worst@0.5/255": worst.mean()}
        outcomes = {"index": np.arange(n), "label": np.zeros(n, int), "clean": right}
        outcomes |= {"pgd@0.5/255": worst, "worst@0.5/255": worst}
        attack = {"name": "pgd@0.5/255", "kind": "pgd", "eps": "1/510", "steps": 10, "restarts": 1}
        write_suite(folder, Suite("linf", "test", n, metrics, {"attacks": [attack]}, ("an upper bound",)), outcomes)
    (folder / "recipe.json").write_text(json.dumps({"name": "study", "note": "a <b>note</b>", "data": {"name": "x"}}))
    (folder / "env.json").write_text(json.dumps({"featmask": "0", "torch": "2 & 3"}))
    lines = [{"epoch": e, "train_loss": 1 / e, "val_accuracy": 0.5 + e / 10} for e in (1, 2, 3)]
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    info = {"method": method, "seed": seed, "dropped_fraction": 0.0152, "seconds_per_epoch": 1.5}
    (folder / "run.json").write_text(json.dumps(info))


def make_study(root: Path, methods=METHODS, seeds=5, attacked=True):
    rng = np.random.default_rng(0)
    for method in methods:
        for seed in range(seeds):
            make_run(root, method, seed, (rng.random(200) < 0.8).astype(int), attacked)
    return read_runs(root, methods)


@pytest.fixture
def study(tmp_path):
    runs = make_study(tmp_path)
    return tmp_path, runs, write_report(tmp_path, runs, command="featmask compare 'a <b>.yaml'")


def test_table_equals_figures_computed_another_way(study):
    _, runs, paths = study
    with open(paths["table.csv"], newline="") as handle:
        rows = {(row["method"], row["metric"]): row for row in csv.DictReader(handle)}
    for method in METHODS:
        values = np.array([run.samples["clean"]["correct"].mean() for run in runs if run.method == method])
        row = rows[method, "accuracy"]
        assert float(row["mean"]) == pytest.approx(values.mean())
        half = 2.7764451 * values.std(ddof=1) / np.sqrt(5)  # t with 4 degrees of freedom
        assert float(row["high95"]) - float(row["mean"]) == pytest.approx(half)
        if method != "none":
            base = np.array([run.samples["clean"]["correct"].mean() for run in runs if run.method == "none"])
            assert float(row["difference"]) == pytest.approx((values - base).mean())
    best = max(METHODS, key=lambda method: float(rows[method, "accuracy"]["mean"]))
    text = paths["report.md"].read_text()
    shown = f"**{100 * float(rows[best, 'accuracy']['mean']):.1f} ±"
    assert shown in text


def test_everything_is_escaped(study):
    _, _, paths = study
    page = paths["report.html"].read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert "2 &amp; 3" in page


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.found += [named[key] for key in ("src", "href") if named.get(key)]
        self.ids += [named["id"]] if named.get("id") else []


def test_the_page_fetches_nothing_and_ids_are_unique(study):
    _, _, paths = study
    page = paths["report.html"].read_text()
    links = Links()
    links.feed(page)
    assert not [link for link in links.found if re.match(r"(https?:)?//", link)]
    assert not re.search(r"url\(['\"]?(https?:)?//|@import", page)
    assert len(links.ids) == len(set(links.ids))
    for reference in re.findall(r"url\(#([^)]+)\)", page) + [link[1:] for link in links.found if link[0] == "#"]:
        assert reference in links.ids


def test_the_same_runs_give_the_same_bytes(study):
    root, runs, paths = study
    before = {name: path.read_bytes() for name, path in paths.items()}
    write_report(root, runs, command="featmask compare 'a <b>.yaml'")
    assert before == {name: path.read_bytes() for name, path in paths.items()}


def test_few_seeds_make_no_claim(tmp_path):
    runs = make_study(tmp_path, METHODS[:2], seeds=1)
    page = write_report(tmp_path, runs, command="c")["report.html"].read_text()
    assert "lfm against none: not enough seeds for a claim on clean accuracy" in page
    assert "not evidence about the methods" in page
    with open(tmp_path / "table.csv", newline="") as handle:
        row = next(row for row in csv.DictReader(handle) if row["method"] == "lfm" and row["metric"] == "accuracy")
    assert row["outcome"] == "not enough seeds"
    assert row["low95"] == ""
    # one pair of models: McNemar's test on their samples
    a, b = (run.samples["clean"]["correct"] for run in reversed(runs))
    from scipy.stats import binomtest

    only = ((a == 1) & (b == 0)).sum(), ((a == 0) & (b == 1)).sum()
    assert float(row["mcnemar_p"]) == pytest.approx(binomtest(int(only[0]), int(sum(only))).pvalue)


@pytest.mark.parametrize(("methods", "seeds", "attacked"), [(("lfm",), 1, False), (tuple("abcdefghijkl"), 2, True)])
def test_small_and_large_studies(tmp_path, methods, seeds, attacked):
    runs = make_study(tmp_path, methods, seeds, attacked)
    page = write_report(tmp_path, runs, command="c")["report.html"].read_text()
    # a panel a headline figure, two curves of training, the dropped share, and the curve under attack
    assert page.count("<svg") == (2 + 2 + 1 + 2 if attacked else 2 + 2 + 1)


def test_mistakes(tmp_path):
    runs = make_study(tmp_path, ("none",), 1)
    with pytest.raises(FeatmaskError, match="no finished runs"):
        write_report(tmp_path, [], command="c")
    with pytest.raises(FeatmaskError, match="baseline"):
        write_report(tmp_path, runs, command="c", baseline="lfm")
    with pytest.raises(FeatmaskError, match="cannot read the image"):
        write_report(tmp_path, runs, command="c", images={"x": tmp_path / "none.png"})
    assert not list(tmp_path.glob("report*"))


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_nothing_is_wider_than_the_page(study, tmp_path, width):
    _, _, paths = study
    page = paths["report.html"].read_text()
    probe = (
        "<script>document.title = 'width ' + document.documentElement.scrollWidth + ' of ' "
        "+ document.documentElement.clientWidth</script>"
    )
    # a frame gives the page a phone's width, which a headless window refuses
    (tmp_path / "inner.html").write_text(page + probe.replace("document.title =", "document.body.dataset.width ="))
    outer = (
        f"<iframe id=f src=inner.html width={width} height=900></iframe><script>f.onload = () => "
        "{document.title = f.contentDocument.body.dataset.width}</script>"
    )
    (tmp_path / "outer.html").write_text(outer)
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000",
         "--dump-dom", (tmp_path / "outer.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = re.search(r"<title>width (\d+) of (\d+)", done.stdout)
    assert found, done.stderr[-2000:]
    assert int(found[1]) <= int(found[2]) <= width
