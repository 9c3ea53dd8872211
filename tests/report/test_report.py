"""The report: figures equal those computed another way, everything is escaped, nothing is fetched."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.image import imread, imsave
from scipy.stats import binomtest

from featmask.errors import FeatmaskError
from featmask.records import pictures as gallery
from featmask.records.run import RecordedRecipe, read_runs
from featmask.records.suite import Suite, write_suite
from featmask.report import write_report
from featmask.report.study.tables import aggregate
from featmask.report.study.verdicts import verdict_lines

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


def make_study(root: Path, methods=METHODS, seeds=5, attacked=True, gain=0.0):
    rng = np.random.default_rng(0)
    for method in methods:
        for seed in range(seeds):
            right = (rng.random(200) < 0.8 + gain * (method == "lfm")).astype(int)
            make_run(root, method, seed, right, attacked)
    return read_runs(root, methods)


def text_of(page: str) -> str:
    """What a reader sees, on one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.S))).split())


def accuracies(runs, method: str) -> np.ndarray:
    return np.array([run.samples["clean"]["correct"].mean() for run in runs if run.method == method])


def with_metrics(runs, suite: str, metrics):
    return [replace(run, suites={suite: Suite(suite, "test", 200, dict(metrics))}, samples={}) for run in runs]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    runs = make_study(root)
    return root, runs, write_report(root, runs, command="featmask compare 'a <b>.yaml'")


def test_table_equals_figures_computed_another_way(study):
    _, runs, paths = study
    with open(paths["table.csv"], newline="") as handle:
        rows = {(row["method"], row["metric"]): row for row in csv.DictReader(handle)}
    text, page = paths["report.md"].read_text(), text_of(paths["report.html"].read_text())
    base = accuracies(runs, "none")
    for method in METHODS:
        values = accuracies(runs, method)
        row = rows[method, "accuracy"]
        assert float(row["mean"]) == pytest.approx(values.mean())
        half = 2.7764451 * values.std(ddof=1) / np.sqrt(5)  # t with 4 degrees of freedom
        assert float(row["high95"]) - float(row["mean"]) == pytest.approx(half)
        shown = f"{100 * values.mean():.1f} ± {100 * half:.1f}"
        assert shown in text
        assert shown in page
        if method != "none":
            difference = values - base
            assert float(row["difference"]) == pytest.approx(difference.mean())
            half = 2.7764451 * difference.std(ddof=1) / np.sqrt(5)
            low, high = 100 * (difference.mean() - half), 100 * (difference.mean() + half)
            assert f"{low:+.1f} to {high:+.1f}" in text
            assert f"{low:+.1f} to {high:+.1f}".replace("-", "−") in page
    assert rows["lfm", "dropped_fraction"]["mean"] == "0.0152"
    assert "1.52" in page
    best = max(METHODS, key=lambda method: float(rows[method, "accuracy"]["mean"]))
    assert f"**{100 * float(rows[best, 'accuracy']['mean']):.1f} ±" in text


def test_single_runs_carry_the_range_of_other_test_samples(study):
    _, runs, paths = study
    page = text_of(paths["report.html"].read_text())
    for run in runs[:3]:
        right = int(run.samples["clean"]["correct"].sum())
        low, high = binomtest(right, 200).proportion_ci(method="wilson")
        assert f"{right / 2:.1f} {100 * low:.1f} to {100 * high:.1f}" in page


def test_the_first_line_says_that_nothing_was_shown(study):
    _, runs, paths = study
    first = verdict_lines(aggregate(runs))[0]
    assert first.startswith("lfm against none: no difference shown on clean accuracy")
    for name in ("report.html", "report.md"):
        text = text_of(paths[name].read_text()) if name.endswith("html") else paths[name].read_text()
        assert text.index(first) < text.index("Results")


def test_a_large_gain_is_called_better_and_a_loss_for_the_loss(tmp_path):
    runs = make_study(tmp_path, ("none", "lfm"), gain=0.15)
    lines = verdict_lines(aggregate(runs))
    assert lines[0].startswith("lfm against none: better on clean accuracy")
    assert "correction" not in lines[0]
    worse = verdict_lines(aggregate(runs, "lfm"))[0]
    assert worse.startswith("none against lfm: worse on clean accuracy")
    noise = np.random.default_rng(0).normal(0, 1e-3, len(runs))
    nll = [
        replace(run, suites={"clean": Suite("clean", "test", 9, {"nll": 0.4 + x + 0.1 * (run.method == "lfm")})})
        for run, x in zip(runs, noise, strict=True)
    ]
    assert verdict_lines(aggregate(nll))[0].startswith("lfm against none: worse on negative log-likelihood")


def test_a_claim_that_many_comparisons_explain_says_so(tmp_path):
    methods = ("none", "lfm", *"abcdefgh")
    runs = make_study(tmp_path, methods, attacked=False)
    # accuracy: p = 0.03 for lfm alone, in a table of 18 differences without any other
    base = np.array([0.70, 0.72, 0.71, 0.69, 0.70])
    gains = {"lfm": np.array([0.01, 0.03, 0.02, 0.002, 0.03])}
    rng = np.random.default_rng(1)
    made = []
    for run in runs:
        value = base[run.seed] + gains.get(run.method, rng.normal(0, 0.02, 5) * (run.method != "none"))[run.seed]
        made += with_metrics([run], "clean", {"accuracy": value, "ece": rng.normal(0.1, 0.01)})
    study = aggregate(made)
    cell = next(cell for (method, metric), cell in study.cells.items() if (method, metric.name) == ("lfm", "accuracy"))
    assert cell.outcome == "better"
    assert cell.fragile
    assert "not after correction for 18 comparisons" in verdict_lines(study)[0]
    page = text_of(write_report(tmp_path, made, command="c")["report.html"].read_text())
    assert "▲ better †" in page
    assert "† not so after correction" in page


def test_everything_is_escaped(study):
    _, _, paths = study
    page = paths["report.html"].read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert "2 &amp; 3" in page
    assert "<script" not in paths["report.md"].read_text()


def test_names_that_mean_something_elsewhere(tmp_path):
    """Mathematics for matplotlib, a table for Markdown, a hidden label, an id and a colour for the SVG."""
    names = ("none", "a$b_{$", "_x|y`*", 'id="a" url(#b) #010203', "n" * 200)
    runs = make_study(tmp_path, names, 2)
    paths = write_report(tmp_path, runs, command="a ``` b")
    page = paths["report.html"].read_text()
    for name in names:
        assert name in text_of(page)
    rows = [line for line in paths["report.md"].read_text().splitlines() if line.startswith("| ")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in rows}
    assert len(widths) <= 3  # three tables, each of one width
    assert "````\na ``` b\n````" in paths["report.md"].read_text()


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
    files = [link for link in links.found if link[0] not in "#d"]
    assert len([link for link in files if link.endswith("run.json")]) == 15
    assert all((paths["report.html"].parent / unquote(link)).is_file() for link in files)


def test_links_hold_whatever_a_folder_is_called(tmp_path):
    runs = make_study(tmp_path / "runs #1 50%?", ("none",), 1)
    page = write_report(tmp_path / "elsewhere", runs, command="c")["report.html"].read_text()
    assert 'href="./../runs%20%231%2050%25%3F/none/seed-0/run.json"' in page


def test_an_image_is_embedded(tmp_path):
    runs = make_study(tmp_path, ("none",), 1)
    gallery.save(tmp_path, "m", "masks", lambda path: imsave(path, np.zeros((4, 4, 3)), format="png") or "a <mask>")
    page = write_report(tmp_path, runs, command="c")["report.html"].read_text()
    assert 'src="data:image/png;base64,iVBOR' in page
    assert 'alt="a &lt;mask&gt;"' in page


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
    only = ((a == 1) & (b == 0)).sum(), ((a == 0) & (b == 1)).sum()
    assert float(row["mcnemar_p"]) == pytest.approx(binomtest(int(only[0]), int(sum(only))).pvalue)


@pytest.mark.parametrize(("methods", "seeds", "attacked"), [(("lfm",), 1, False), (tuple("abcdefghijkl"), 2, True)])
def test_small_and_large_studies(tmp_path, methods, seeds, attacked):
    runs = make_study(tmp_path, methods, seeds, attacked)
    page = write_report(tmp_path, runs, command="c")["report.html"].read_text()
    # a panel a headline figure, two curves of training, cost, dropped share; under attack two and one a challenger
    assert page.count("<svg") == (3 + 2 + 1 + 1 + 2 + 11 if attacked else 2 + 2 + 1 + 1)


def test_no_label_of_an_axis_is_cut(tmp_path):
    """A label left of an axis ends at x and takes five units a character; these values change ticks with the width."""
    runs = make_study(tmp_path, ("none", "lfm"), 2)
    curves = {0: (0.882, 0.965, 0.98), 1: (0.86, 0.965, 0.99)}
    runs = [
        replace(run, epochs=[{"epoch": e, "val_accuracy": v} for e, v in enumerate(curves[run.seed], 1)])
        for run in runs
    ]  # fmt: skip
    page = write_report(tmp_path, runs, command="c")["report.html"].read_text()
    labels = re.findall(r'text-anchor: end[^>]*?x="([\d.-]+)"[^>]*>([^<]+)</text>', page)
    assert "97.5" in [text for _, text in labels]
    assert not [(x, text) for x, text in labels if float(x) < 5 * len(text)]
    assert "DejaVu" not in page  # the page's own font


def test_mcnemar_compares_the_seed_that_both_have(tmp_path):
    runs = [run for run in make_study(tmp_path, ("none", "lfm"), 2) if (run.method, run.seed) != ("none", 0)]
    cell = next(c for (m, metric), c in aggregate(runs).cells.items() if (m, metric.name) == ("lfm", "accuracy"))
    one, other = (run.samples["clean"]["correct"] for run in runs if run.seed == 1)
    only = int(((other == 1) & (one == 0)).sum()), int(((other == 0) & (one == 1)).sum())
    assert cell.mcnemar == pytest.approx(binomtest(only[0], sum(only)).pvalue)


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"mAP": 0.5, "rank@1": 0.7},
        {"accuracy": 0.5, "worst@large": 0.1},
        {"fgsm@1/255": 0.4},
        {"nll": float("nan")},
    ],
)
def test_unusual_suites(tmp_path, metrics):
    runs = with_metrics(make_study(tmp_path, ("none", "lfm"), 2), "other", metrics)
    page = write_report(tmp_path, runs, command="c")["report.html"].read_text()
    for name, value in metrics.items():
        assert (f"{100 * value:.1f}" in page) if np.isfinite(value) else (f"other: {name} of lfm" in text_of(page))


def test_what_is_uneven_is_said(tmp_path):
    runs = make_study(tmp_path, ("none", "lfm"), 2)
    runs = [replace(runs[0], recipe=RecordedRecipe(name="changed")), *runs[1:-1]]
    text = text_of(write_report(tmp_path, runs, command="c")["report.html"].read_text())
    assert "different recipes" in text
    assert "different numbers of runs: none 2, lfm 1" in text
    assert "linf: an upper bound." in text


def test_mistakes(tmp_path):
    runs = make_study(tmp_path, ("none",), 1)
    with pytest.raises(FeatmaskError, match="one run per method and seed"):
        write_report(tmp_path, [*runs, *runs], command="c")
    gallery.save(tmp_path, "no", "masks", lambda path: path.write_text("no picture") and "x")
    with pytest.raises(FeatmaskError, match="expected a PNG"):
        write_report(tmp_path, runs, command="c")
    gallery.discard(tmp_path, "no")
    with pytest.raises(FeatmaskError, match="no finished runs"):
        write_report(tmp_path, [], command="c")
    with pytest.raises(FeatmaskError, match="baseline"):
        write_report(tmp_path, runs, command="c", baseline="lfm")
    assert not list(tmp_path.glob("report*"))


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def chromium(profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--allow-file-access-from-files", f"--user-data-dir={profile}", "--virtual-time-budget=5000", *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def in_a_frame(page: str, probe: str, folder: Path, width: int) -> str:
    """What a script at the end of a page leaves in ``document.body.dataset.found``.

    A frame gives the page a phone's width, which a headless window refuses.
    """
    (folder / "inner.html").write_text(page.replace("</body>", probe + "</body>"))
    outer = (
        f"<iframe id=f src=inner.html width={width} height=900></iframe><script>f.onload = () => "
        "{document.title = 'found ' + f.contentDocument.body.dataset.found}</script>"
    )
    (folder / "outer.html").write_text(outer)
    done = chromium(folder / "profile", "--dump-dom", (folder / "outer.html").as_uri())
    title = re.search(r"<title>found (.*?)</title>", done.stdout)
    assert title, done.stderr[-2000:]
    return unescape(title[1])


def widths(page: Path, folder: Path, width: int) -> list[int]:
    """Of all that a page holds, and of its window."""
    probe = (
        "<script>document.body.dataset.found = JSON.stringify([document.documentElement.scrollWidth, "
        "document.documentElement.clientWidth])</script>"
    )
    return json.loads(in_a_frame(page.read_text(), probe, folder, width))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser_light_and_dark(study, tmp_path, dark):
    _, _, paths = study
    shot = tmp_path / "shot.png"
    arguments = ["--window-size=1280,1600", f"--screenshot={shot}", "--enable-logging=stderr"]
    arguments += ["--blink-settings=preferredColorScheme=0"] * dark
    done = chromium(tmp_path / "profile", *arguments, paths["report.html"].as_uri())
    assert "CONSOLE" not in done.stderr
    pixels = imread(shot)[..., :3]
    assert pixels.shape[:2] == (1600, 1280)
    # the page's own colour fills most of it, and what is drawn stands out from it
    assert (np.median(pixels) < 0.2) == dark
    assert pixels.max() - pixels.min() > 0.7


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_nothing_is_wider_than_the_page(study, tmp_path, width):
    _, _, paths = study
    page, window = widths(paths["report.html"], tmp_path, width)
    assert page <= window <= width
