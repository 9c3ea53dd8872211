"""The report of robustness: figures equal those recomputed from samples, words match them, parts may be missing."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
from scipy.stats import binomtest
from test_report import CHROMIUM, Links, make_run, text_of, widths

from featmask.errors import FeatmaskError
from featmask.records.figures import Figure, show
from featmask.records.run import read_runs
from featmask.records.suite import Suite, read_samples, read_suite, write_suite
from featmask.records.titles import attack_title
from featmask.report import write_report, write_robustness
from featmask.report.robustness import curves, diagrams, figures
from featmask.report.robustness.read import read_subject, read_subjects
from featmask.report.robustness.strength import strength
from featmask.report.study.choice import first_table
from oracles.robust_folder import ALL, CORRUPTIONS, SIZES, number, write_folder

HOSTILE = "<script>alert(1)</script> $a_{$ | `x` & \"q\" 'p'"


class Tables(HTMLParser):
    """Caption -> rows of cells, small text apart from the figure by a line break."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, list[list[str]]] = {}
        self.text, self.inside, self.caption = "", False, ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self.rows = []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th", "caption"):
            self.text, self.inside = "", True
        elif tag == "small":
            self.text += "\n"

    def handle_endtag(self, tag):
        if tag == "caption":
            self.caption = self.text
        elif tag in ("td", "th"):
            self.rows[-1].append("\n".join(" ".join(part.split()) for part in self.text.split("\n")))
        elif tag == "table":
            self.found[self.caption] = self.rows
        self.inside = self.inside and tag not in ("td", "th", "caption")

    def handle_data(self, data):
        self.text += data if self.inside else ""


def wilson(right: int, n: int) -> tuple[float, float]:
    z, p = 1.959963984540054, right / n
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def samples(folder: Path, suite: str) -> dict[str, np.ndarray]:
    return read_samples(folder / "eval" / f"{suite}.samples.csv")


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures take most of the time, and say nothing about words and tables."""
    for module in (curves, diagrams):
        monkeypatch.setattr(module, "drawn", lambda draw, prefix: f'<svg id="{prefix}"></svg>')


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    root = tmp_path_factory.mktemp("one")
    write_folder(root / "a")
    return root / "a", write_robustness([root / "a"], root / "out")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    write_folder(root / "a", title="lfm", strength=4, doctor=None)
    write_folder(root / "b", title="none", seed=1, doctor="failed", suites=(*ALL, "l1"))
    return root, write_robustness([root / "a", root / "b"], root / "out")


def test_tables_equal_the_samples(one):
    folder, paths = one
    found = Tables(paths["robustness.html"].read_text()).found
    linf, auto, clean = samples(folder, "linf"), samples(folder, "autoattack"), samples(folder, "clean")
    table = {row[0]: row[1:] for row in found["Right after each attack, %, L∞"]}
    assert [cell.split("\n")[0] for cell in table["Attack"]] == ["0", *SIZES["linf"], "n"]
    for title, columns, kind in [("FGSM", linf, "fgsm"), ("APGD, DLR, targeted", linf, "apgd-dlr-t"),
                                 ("AutoAttack", auto, "autoattack"), ("Worst case\nlinf", linf, "worst")]:  # fmt: skip
        shown = [percent(columns[f"{kind}@{size}"].mean()) for size in SIZES["linf"]]
        assert table[title] == [percent(clean["correct"].mean()), *shown, "300"]
    for place, size in enumerate(SIZES["linf"], 1):
        # right under every attack of both suites, sample by sample
        right = np.minimum(linf[f"worst@{size}"], auto[f"worst@{size}"])
        low, high = wilson(right.sum(), 300)
        assert table["Worst case\nall suites on the same samples"][place] == (
            f"{percent(right.mean())}\n{percent(low)} to {percent(high)}"
        )
    corrupted = samples(folder, "corruptions")
    heat = {row[0]: row[1:] for row in found["Right under each corruption, %, elpv, lfm, seed 0, corruptions"]}
    for kind in CORRUPTIONS:
        shares = [corrupted[f"{kind}:{level}"].mean() for level in range(1, 6)]
        title = kind.replace("_", " ").replace("jpeg", "JPEG")
        assert heat[title[0].upper() + title[1:]] == [percent(share) for share in [*shares, np.mean(shares)]]
    blur = [corrupted[f"{kind}:{level}"].mean() for kind in CORRUPTIONS[3:7] for level in range(1, 6)]
    assert heat["Blur"][:-1] == [""] * 5
    every = [values.mean() for name, values in corrupted.items() if ":" in name]
    for name, own in (("Blur", blur), ("Mean over corruptions", every)):
        assert float(heat[name][-1]) == pytest.approx(100 * np.mean(own), abs=0.0501)
    hidden = {row[0]: row[1:] for row in found["Right with a square hidden or replaced, %"]}
    patched = samples(folder, "occlusion")
    assert hidden["Adversarial patch"][1:4] == [percent(patched[f"patch@{side}%"].mean()) for side in (10, 20, 30)]


def test_the_csv_holds_every_figure_of_every_record(two):
    root, paths = two
    with open(paths["robustness.csv"], newline="") as handle:
        rows = {(row["model"], row["suite"], row["metric"], row["size"]): row for row in csv.DictReader(handle)}
    for name, folder in (("lfm", "a"), ("none", "b")):
        for path in (root / folder / "eval").glob("*.json"):
            suite, _ = read_suite(path)
            for key, value in suite.metrics.items():
                row = rows[name, suite.name, key, key.partition("@")[2]]
                assert float(row["value"]) == value
                assert int(row["n"]) == suite.n
                if "@" in key or ":" in key or key in ("accuracy", "clean"):
                    assert (float(row["low95"]), float(row["high95"])) == pytest.approx(
                        wilson(round(value * suite.n), suite.n)
                    )
                else:
                    assert row["low95"] == ""
    assert rows["none", "doctor", "zero_gradient", ""]["note"].startswith("gradients: failed: 61.7 %")


def test_curves_are_the_share_that_no_smaller_radius_flips(two):
    root, _ = two
    subjects = read_subjects([root / "a", root / "b"])
    for norm, scale in (("linf", 255), ("l2", 1)):
        figure, _ = curves._models(subjects, norm, matplotlib.figure.Figure)
        steps = [line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
        assert len(steps) == 2
        for line, folder in zip(steps, "ab", strict=True):
            radii = samples(root / folder, norm)["flip_eps"]
            x, y = line.get_xdata() / scale, line.get_ydata() / 100
            assert x[0] == 0
            assert x[-1] == pytest.approx(number(SIZES[norm][-1]))
            np.testing.assert_allclose(y, [(radii > at * (1 + 1e-12)).mean() for at in x])
            dots = [line for line in figure.axes[0].lines if line.get_linestyle() == "None"]
        worst = samples(root / "b", norm), samples(root / "b", "autoattack")
        ending = "" if norm == "linf" else "-l2"
        expected = [worst[0][f"worst{ending}@{size}"] for size in SIZES[norm]]
        if norm == "linf":
            expected = [np.minimum(a, worst[1][f"worst@{s}"]) for a, s in zip(expected, SIZES[norm], strict=True)]
        np.testing.assert_allclose(dots[-1].get_ydata(), [100 * right.mean() for right in expected])


def test_a_curve_of_many_samples_has_few_points_each_exact():
    rng = np.random.default_rng(0)
    radii = rng.lognormal(-6, 1, 10_000)
    radii[:500], radii[500:900] = 0, np.inf
    x, y = figures.curve(figures.Flips("linf", radii, 8 / 255, "8/255", "apgd"))
    assert len(x) <= 200
    assert (x[0], x[-1]) == (0, 8 / 255)
    np.testing.assert_array_equal(y, [(radii > at).mean() for at in x])
    assert y[0] == 0.95
    # no step is left out that is seen: no two neighbours are far apart
    assert np.abs(np.diff(y)).max() < 0.06


def test_histogram_and_quartiles(one):
    folder, paths = one
    flips = figures.flips_of(read_subject(folder), "linf")
    radii = samples(folder, "linf")["flip_eps"]
    figure, _ = curves._bars(flips, "linf", "", matplotlib.figure.Figure)
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(heights) == pytest.approx(100)
    assert heights[-2:] == pytest.approx([100 * (radii == 0).mean(), 100 * np.isinf(radii).mean()])
    row = Tables(paths["robustness.html"].read_text()).found["Smallest eps that flips a sample"][1]
    right = np.sort(radii[radii > 0])
    median = (right[(len(right) - 1) // 2] + right[len(right) // 2]) / 2
    assert row[0] == "L∞\nAPGD"
    assert row[2] == f"{255 * median:.3g}/255"
    assert row[4:] == [percent((radii == 0).mean()), percent(np.isinf(radii).mean()), "8/255", "300"]


def test_a_median_among_those_never_flipped_lies_above_what_was_tried(tmp_path, undrawn):
    write_folder(tmp_path / "a", strength=40, suites=("linf",))
    page = write_robustness([tmp_path / "a"], tmp_path)["robustness.html"].read_text()
    row = Tables(page).found["Smallest eps that flips a sample"][1]
    assert row[2] == "> 8/255"


def test_reliability_bins(one):
    folder, paths = one
    columns = samples(folder, "clean")
    rows = Tables(paths["robustness.html"].read_text()).found["Confidence against accuracy"][1:]
    assert sum(int(row[3]) for row in rows) == 300
    weighed = 0.0
    for row in rows:
        low, high = (float(end) for end in row[0].split(" to "))
        own = (columns["confidence"] > low - 5e-4) & (columns["confidence"] <= high + 5e-4)
        inside = [round(15 * low), round(15 * high)]
        own = (columns["confidence"] > inside[0] / 15) & (columns["confidence"] <= inside[1] / 15)
        assert int(row[3]) == own.sum()
        assert row[1:3] == [percent(columns["confidence"][own].mean()), percent(columns["correct"][own].mean())]
        weighed += own.mean() * abs(columns["confidence"][own].mean() - columns["correct"][own].mean())
    calibration = Tables(paths["robustness.html"].read_text()).found["Calibration"]
    assert calibration[1][3] == percent(weighed)
    assert calibration[1][6] == "87.1\nagainst fashion_mnist, n = 1,000"


def test_the_verdict_comes_first_and_is_plain(one):
    folder, paths = one
    clean = samples(folder, "clean")["correct"]
    low, high = wilson(clean.sum(), 300)
    text = text_of(paths["robustness.html"].read_text())
    start = (
        f"{percent(clean.mean())} % (95 % interval {percent(low)} to {percent(high)} %) of 300 test images are named"
    )
    for said in (text, paths["robustness.md"].read_text()):
        assert said.index(start) < 400
        assert "after the worst attack within L∞ 8/255 (AutoAttack, standard)" in said
        assert "Practically nothing survives" in said
        assert "The figures can be trusted as far as these checks go: 10 ok, 1 skipped." in said


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("failed", "The figures can not be trusted. Not passed: Gradients reach the pixels. Checks: 1 failed, 9 ok"),
        (
            "suspicious",
            "as far as these checks go: 1 suspicious, 9 ok, 1 skipped. Suspicious: Gradients reach the pixels.",
        ),
        (None, "no checks were run. featmask doctor CHECKPOINT --save FOLDER runs them."),
    ],
)
def test_the_doctor(tmp_path, undrawn, verdict, said):
    write_folder(tmp_path / "a", doctor=verdict, strength=9, suites=("linf",))
    paths = write_robustness([tmp_path / "a"], tmp_path)
    page = paths["robustness.html"].read_text()
    assert said in text_of(page)
    assert said in paths["robustness.md"].read_text()
    assert ("it is unverified" in page) == (verdict is None)
    if verdict is not None:
        # the first of its group, with its sign and its word
        words = re.findall(r'<p class="what">.*?aria-hidden="true">(.)\ufe0e?</span> (\w+)', page)
        assert words[4] == ({"failed": "✘", "suspicious": "▲"}[verdict], verdict)
        assert len(words) == 11
        assert page.count('id="doctor"') == 1


def attacked(folder: Path, kinds, **settings) -> str:
    columns = {"index": np.arange(40), "label": np.zeros(40, int), "clean": np.ones(40, int)}
    columns |= {f"{kind}@8/255": np.arange(40) % 2 for kind in (*kinds, "worst")}
    metrics = {name: float(v.mean()) for name, v in columns.items() if name not in ("index", "label")}
    write_suite(folder, Suite("linf", "test", 40, metrics, {"norm": "linf", **settings}), columns)
    return strength(read_subject(folder), "linf", Fraction(8, 255)).label


def test_what_attacks_allow_to_call_a_figure(tmp_path):
    assert attacked(tmp_path, ["fgsm", "pgd"]) == "upper bound: FGSM and PGD"
    assert attacked(tmp_path, ["fgsm", "apgd"]) == "upper bound: no AutoAttack"
    assert attacked(tmp_path, ["square", "uniform"]) == "upper bound: black-box attacks only"
    assert attacked(tmp_path, ["transfer-pgd"]) == "upper bound: black-box attacks only"
    assert attacked(tmp_path, ["uniform"]) == "upper bound: noise only"
    assert attacked(tmp_path, ["autoattack", "pgd"]) == "AutoAttack, standard"
    assert attacked(tmp_path, ["autoattack"], deviations=["non-standard: 1 target"]) == "AutoAttack, not standard"
    assert attacked(tmp_path, ["autoattack-rand"]) == "AutoAttack, not standard"


def test_worst_cases_of_other_samples_are_not_put_together(tmp_path):
    made = write_folder(tmp_path, suites=("linf",))
    few = {"index": np.arange(50), "label": made.base["label"][:50], "clean": made.right[:50]}
    few |= {"autoattack@8/255": np.zeros(50, int), "worst@8/255": np.zeros(50, int)}
    metrics = {"clean": float(made.right[:50].mean()), "autoattack@8/255": 0.0, "worst@8/255": 0.0}
    write_suite(tmp_path, Suite("autoattack", "test", 50, metrics, {"norm": "linf"}), few)
    share = figures.worst(read_subject(tmp_path), "linf", Fraction(8, 255))
    assert (share.n, share.suites) == (300, ("linf",))
    assert share.value == samples(tmp_path, "linf")["worst@8/255"].mean()
    # nor is the figure of three hundred called one of AutoAttack's
    assert strength(read_subject(tmp_path), "linf", Fraction(8, 255)).label == "upper bound: no AutoAttack"


def test_outcomes_of_random_models_have_no_interval(tmp_path, undrawn):
    columns = {
        "index": np.arange(4),
        "label": np.zeros(4, int),
        "clean": [1, 0.95, 1, 1],
        "worst@8/255": [0.5, 0, 0, 1],
    }
    metrics = {"clean": 0.9875, "worst@8/255": 0.375}
    write_suite(tmp_path, Suite("linf", "test", 4, metrics, {"norm": "linf", "passes": 20}), columns)
    text = text_of(write_robustness([tmp_path], tmp_path)["robustness.html"].read_text())
    assert "98.8 % of 4 test images are named right, 37.5 % after the worst attack" in text
    assert "interval 9" not in text


def test_models_are_compared_on_the_same_samples(two):
    root, paths = two
    found = Tables(paths["robustness.html"].read_text()).found
    row = found["Difference to lfm, points"][1]
    ours, others = (
        np.minimum(samples(root / f, "linf")["worst@8/255"], samples(root / f, "autoattack")["worst@8/255"])
        for f in "ab"
    )
    assert row[2] == f"{100 * (others.mean() - ours.mean()):+.1f}\np < 0.0001".replace("-", "−", 1)
    ours, others = (samples(root / folder, "clean")["correct"] for folder in "ab")
    lost, won = int(((ours == 1) & (others == 0)).sum()), int(((ours == 0) & (others == 1)).sum())
    said = f"p = {binomtest(won, won + lost).pvalue:.2g}"
    assert row[1] == f"{100 * (others.mean() - ours.mean()):+.1f}\n{said}".replace("-", "−", 1)
    table = {line[0]: line[1:] for line in found["Means over severities, and the difference to lfm"]}
    means = [np.mean([samples(root / f, "corruptions")[f"fog:{level}"].mean() for level in range(1, 6)]) for f in "ab"]
    difference = f"{100 * (means[1] - means[0]):+.1f}".replace("-", "−")
    assert table["Fog"] == [percent(means[0]), f"{percent(means[1])}\n{difference}"]
    assert found["At a glance"][1][0] == "lfm"
    # one of them has no figure in L1
    assert found["At a glance"][1][4] == "–"


@pytest.mark.parametrize("suites", [("clean",), ("linf",), ("l1",), ("corruptions",), ("occlusion",), ()])
def test_any_part_may_be_missing(tmp_path, suites):
    subject = suites != ("linf",)
    write_folder(tmp_path / "a", n=30, suites=suites, doctor=None if suites else "ok", search=False)
    if not subject:
        (tmp_path / "a" / "subject.json").unlink()
    paths = write_robustness([tmp_path / "a"], tmp_path)
    page = paths["robustness.html"].read_text()
    assert ("Robustness of elpv, lfm, seed 0" if subject else "Robustness of a") in page
    for suite, part in (("linf", "attacks"), ("corruptions", "corruptions"), ("occlusion", "squares")):
        assert (f'<h2 id="{part}">' in page) == (suite in suites or (part == "attacks" and "l1" in suites))
    for link in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{link}"' in page
    assert ("No accuracy was measured" in page) == (not suites)


def test_a_suite_that_is_not_finished_is_said(tmp_path, undrawn):
    write_folder(tmp_path / "a", n=30, suites=("clean",))
    (tmp_path / "a" / "eval" / "l2.partial.jsonl").write_text("{}\n")
    text = text_of(write_robustness([tmp_path / "a"], tmp_path)["robustness.html"].read_text())
    assert "l2 was begun and is not finished: it is left out." in text


def test_everything_is_escaped_and_nothing_is_fetched(tmp_path):
    for name in "ab":
        write_folder(tmp_path / name, title=HOSTILE, n=30, suites=ALL if name == "a" else ("linf",),
                     about={"data": HOSTILE, "classes": [HOSTILE, "b"], "command": HOSTILE, "method": HOSTILE,
                            "environment": {HOSTILE: HOSTILE}, "recipe": {HOSTILE: HOSTILE}})  # fmt: skip
        told = json.loads((tmp_path / name / "doctor.json").read_text())
        told["checks"] = told["checks"][:2]
        for check in told["checks"]:
            check |= {"title": HOSTILE, "figure": HOSTILE, "why": HOSTILE, "group": HOSTILE, "verdict": HOSTILE}
            check["values"] = {"x": [HOSTILE, "b"], "y": [0.1, 0.2], "x_label": HOSTILE, "y_label": HOSTILE}
        (tmp_path / name / "doctor.json").write_text(json.dumps(told))
    paths = write_robustness([tmp_path / "a", tmp_path / "b"], tmp_path / "out", title=HOSTILE)
    page = paths["robustness.html"].read_text()
    assert "<script" not in page
    fenced = re.compile(r"^(```+)\n.*?^\1$", re.DOTALL | re.MULTILINE)
    assert "<script" not in fenced.sub("", paths["robustness.md"].read_text())
    assert HOSTILE.replace("  ", " ") in text_of(page)
    links = Links()
    links.feed(page)
    assert not [link for link in links.found if re.match(r"(https?:)?//", link)]
    assert not re.search(r"url\(['\"]?(https?:)?//|@import", page)
    assert len(links.ids) == len(set(links.ids))
    for reference in re.findall(r"url\(#([^)]+)\)", page) + [link[1:] for link in links.found if link[0] == "#"]:
        assert reference in links.ids
    rows = [line for line in paths["robustness.md"].read_text().splitlines() if line.startswith("| ")]
    tables = [len(re.findall(r"(?<!\\)\|", line)) for line in rows]
    assert all(count > 2 for count in tables)


def test_ten_thousand_samples_stay_small(tmp_path):
    write_folder(tmp_path / "a", n=10_000, suites=("clean", "linf"), doctor=None)
    paths = write_robustness([tmp_path / "a"], tmp_path)
    assert paths["robustness.html"].stat().st_size < 400_000


def test_the_same_records_give_the_same_bytes_and_a_mistake_leaves_them(tmp_path):
    write_folder(tmp_path / "a", n=30, suites=("clean", "l2"), doctor=None)
    paths = write_robustness([tmp_path / "a"], tmp_path)
    before = {name: path.read_bytes() for name, path in paths.items()}
    write_robustness([tmp_path / "a"], tmp_path)
    assert before == {name: path.read_bytes() for name, path in paths.items()}
    with pytest.raises(FeatmaskError, match="none"):
        write_robustness([tmp_path / "a", tmp_path / "nowhere"], tmp_path, title="another")
    assert before == {name: path.read_bytes() for name, path in paths.items()}


def test_mistakes(tmp_path):
    with pytest.raises(FeatmaskError, match="one or more folders"):
        write_robustness([], tmp_path)
    with pytest.raises(FeatmaskError, match="list of folders"):
        write_robustness(tmp_path, tmp_path)
    with pytest.raises(FeatmaskError, match=r"no records.*featmask evaluate"):
        write_robustness([tmp_path], tmp_path)
    write_folder(tmp_path / "a", n=9, suites=("clean",))
    with pytest.raises(FeatmaskError, match="once"):
        write_robustness([tmp_path / "a", tmp_path / "." / "a"], tmp_path)
    (tmp_path / "a" / "doctor.json").write_text("[")
    with pytest.raises(FeatmaskError, match=r"doctor\.json: .*JSON"):
        write_robustness([tmp_path / "a"], tmp_path)
    (tmp_path / "a" / "doctor.json").write_text('{"schema": 9}')
    with pytest.raises(FeatmaskError, match="schema 1"):
        write_robustness([tmp_path / "a"], tmp_path)
    (tmp_path / "a" / "doctor.json").unlink()
    (tmp_path / "a" / "eval" / "clean.samples.csv").unlink()
    with pytest.raises(FeatmaskError, match=r"clean\.samples\.csv is missing; delete clean\.json"):
        write_robustness([tmp_path / "a"], tmp_path)
    assert not list(tmp_path.glob("robustness*"))


def test_it_needs_no_torch(tmp_path):
    folder = tmp_path / "a"
    write_folder(folder, n=30, suites=("corruptions",), doctor=None)
    code = (
        "import sys; from featmask.report import write_robustness; "
        f"write_robustness([{str(folder)!r}], {str(folder / 'out')!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def test_names_of_attacks_and_figures():
    titles = {
        "apgd-dlr-t-l2": "APGD, DLR, targeted (L2)",
        "pgd-margin": "PGD, margin",
        "transfer-pgd": "PGD from another model",
        "fna-l2": "FNA (L2)",
        "own-thing": "own-thing",
        "autoattack-rand-l1": "AutoAttack, rand (L1)",
        "occlusion-mean": "Worst square hidden, mean colour",
    }
    assert {kind: attack_title(kind) for kind in titles} == titles
    assert Figure("l2", "worst-l2@0.5").words == "worst-case accuracy (L2) at 0.5"
    assert Figure("corruptions", "jpeg_compression:3").title == "JPEG compression, severity 3"
    assert Figure("clean", "brier").lower_is_better
    assert show(Figure("clean", "brier"), 0.25) == "0.250"
    assert show(Figure("linf", "median_eps"), 2 / 255) == "0.0078"
    assert not Figure("linf", "unflipped").counted
    assert Figure("occlusion", "patch@12.5%").square == Fraction(1, 8)


def test_the_first_table_of_a_comparison_is_not_drowned(tmp_path):
    levels = [f"{kind}:{level}" for kind in CORRUPTIONS for level in range(1, 6)]
    names = {"corruptions": ["clean", *levels, *CORRUPTIONS, "corrupted"],
             "l2": [f"worst-l2@{size}" for size in ("0.25", "0.5", "1")], "clean": ["accuracy", "brier", "ood_auroc"],
             "occlusion": [f"{kind}@{side}%" for kind in ("patch", "worst") for side in (10, 20, 30)],
             "linf": ["worst@1/255", "worst@2/255", "median_eps", "unflipped"]}  # fmt: skip
    found = first_table([Figure(suite, name) for suite, own in names.items() for name in own])
    assert [m.name for m in found] == [
        "accuracy", "corrupted", "worst@1/255", "worst@2/255", "worst-l2@0.5", "worst@20%"
    ]  # fmt: skip
    for method in ("none", "lfm"):
        right = (np.random.default_rng(len(method)).random(50) < 0.8).astype(int)
        make_run(tmp_path, method, 0, right)
        write_folder(tmp_path / method / "seed-0", n=50, suites=("corruptions", "occlusion"), doctor=None)
    page = write_report(tmp_path, read_runs(tmp_path, ["none", "lfm"]), command="c")["report.html"].read_text()
    assert "severity 3" not in page
    found = Tables(page).found
    assert "Corrupted, mean\n%" in found["Means over seeds"][0]
    assert "Gaussian noise\n%" in found["The remaining figures"][0]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_nothing_is_wider_than_the_page(two, tmp_path, width):
    _, paths = two
    page, window = widths(paths["robustness.html"], tmp_path, width)
    assert page <= window <= width
