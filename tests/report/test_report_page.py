"""Pages made again from records: the same bytes from folders or a zip file; what stands on them, and across studies."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from matplotlib import figure as matplotlib_figure
from test_report import CHROMIUM, Links, chromium, in_a_frame, text_of

from featmask.drawing.svg import look
from featmask.errors import FeatmaskError
from featmask.records.figures import Figure
from featmask.records.run import read_runs
from featmask.report import rebuild
from featmask.report.across.archive import unpacked
from featmask.report.across.effects import ASPECTS, figure_of
from featmask.report.study.attacked import attack_groups
from featmask.report.study.degraded import degraded_groups, kind_tables
from featmask.report.study.rows import table_csv
from featmask.report.study.tables import Study, aggregate
from featmask.report.study.trained import training_groups
from report_studies import KINDS, add_extras, make_study

#: Student's t, 97.5 %, 4 degrees of freedom.
T4 = 2.7764451
NASTY = "<img src=x onerror=alert(1)>"
METHODS = ("none", "lfm", NASTY)
FOLDERS = ("none", "lfm", "_img_src_x_onerror_alert_1__")
RECORD = ("none/seed-0/run.json", "none/seed-0/eval/clean.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study with everything."""
    study = make_study(tmp_path_factory.mktemp("runs"), "clothes", methods=METHODS)
    add_extras(study, METHODS)
    return study


@pytest.fixture(scope="module")
def one(folder, tmp_path_factory):
    """Its pages."""
    return rebuild([folder], out=tmp_path_factory.mktemp("one"), command="featmask report <x>")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small study, its pages, and its records in a zip file."""
    root = tmp_path_factory.mktemp("small")
    study = make_study(root / "runs", "small", seeds=2, parts=())
    add_extras(study, ("none", "lfm"))
    return study, rebuild([study], out=root, command="featmask report x", packed=root / "records.zip")


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Two studies that share a method, and a third of the same recipe under another key."""
    root = tmp_path_factory.mktemp("three")
    make_study(root, "clothes", methods=METHODS, gains={"lfm": 0.1, NASTY: 0}, parts=("linf", "l2"))
    make_study(root, "cells", methods=("none", "dropout", "lfm"), gains={"lfm": -0.2}, parts=())
    make_study(root, "cells", key="def456", methods=METHODS, gains={"lfm": -0.2, NASTY: 0}, parts=())
    return root


@pytest.fixture(scope="module")
def index(three, tmp_path_factory):
    out = tmp_path_factory.mktemp("all")
    return rebuild([three], out=out, command="featmask report runs")


def values(study: Path, method: str, suite: str, name: str) -> np.ndarray:
    folders = sorted(study.glob(f"{method}/seed-*"))
    return np.array([json.loads((f / "eval" / f"{suite}.json").read_text())["metrics"][name] for f in folders])


def outcome(method: np.ndarray, base: np.ndarray) -> str:
    difference = method - base
    half = T4 * difference.std(ddof=1) / np.sqrt(5)
    if abs(difference.mean()) < 0.0005 or abs(difference.mean()) <= half:
        return "same"
    return "better" if difference.mean() > 0 else "worse"


def test_the_page_has_what_the_records_hold(one):
    page = one["report.html"].read_text()
    text = text_of(page)
    for said in (
        "1 run could not be finished", f"{NASTY}, seed 9 : killed by <signal> 9",
        "Each method had 4 trials of 3 epochs (seed 1000, which no run of the comparison has)",
        "took 13.5 min", "p 0.2, area 0.02 to 0.31, at stem", "p 0.05 … 1 (log); at one of stem, layer1",
        "A picture of attention.", "A picture of saved.", "A picture of masks.",
        "trusted, with doubts", "More steps: 3 points a < b",
        "featmask compare clothes.yaml", "made anew from the records", "featmask report <x>",
        r"\begin{tabular}",
    ):  # fmt: skip
        assert said in text, said
    assert page.count("data:image/png;base64,") == 3
    markdown = one["report.md"].read_text()
    for said in ("killed by &lt;signal&gt; 9", "p 0.2, area 0.02 to 0.31, at stem", "featmask report <x>"):
        assert said in markdown, said
    assert one["table.tex"].read_text().count(r"\begin{tabular}") == 1


def test_names_are_escaped_and_nothing_is_fetched(one, index):
    for page in (one["report.html"].read_text(), index["index.html"].read_text()):
        assert "<script" not in page
        assert "<img src=x" not in page
        links = Links()
        links.feed(page)
        assert not [link for link in links.found if re.match(r"[a-z]+://|//", link)]
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", page)
        assert len(links.ids) == len(set(links.ids))
        assert all(link[1:] in links.ids for link in links.found if link[0] == "#")
    assert "<img" not in index["index.md"].read_text()
    for name in ("index.html", "clothes/report.html"):
        links = Links()
        links.feed(index[name].read_text())
        for link in links.found:
            if link[0] not in "#d":
                assert (index[name].parent / link.replace("%20", " ")).exists(), link


def test_rebuilding_gives_the_same_bytes_and_the_same_figures(small, tmp_path):
    study, written = small
    packed = written["records.zip"]
    before = {name: path.read_bytes() for name, path in written.items()}
    rebuild([study], out=packed.parent, command="featmask report x", packed=packed)
    assert before == {name: path.read_bytes() for name, path in written.items()}
    direct = aggregate(read_runs(study, ("none", "lfm")))
    again = [rebuild([packed], out=tmp_path / name, command="featmask report records.zip") for name in "ab"]
    assert table_csv(direct).encode() == before["table.csv"] == again[0]["table.csv"].read_bytes()
    assert before["table.tex"] == again[0]["table.tex"].read_bytes()
    # what is unpacked lies in another folder every time
    assert [path.read_bytes() for path in again[0].values()] == [path.read_bytes() for path in again[1].values()]
    page = again[0]["report.html"].read_text()
    assert (
        f'{packed.parent.name}/records.zip">records.zip</a>' in page
    )  # the zip file, where the runs' own files cannot be linked
    assert "seed-0/run.json" not in page
    assert page.count("data:image/png;base64,") == 3


def test_a_pack_holds_the_records_and_no_more(small):
    packed = small[1]["records.zip"]
    with zipfile.ZipFile(packed) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert names == sorted(names)
    runs = [f"small/abc123/{method}/seed-{seed}" for method in ("none", "lfm") for seed in range(2)]
    parts = ["run.json", "recipe.json", "env.json", "train.jsonl", "eval/clean.json", "eval/clean.samples.csv"]
    assert {f"{run}/{part}" for run in runs for part in parts} <= set(names)
    assert {f"small/abc123/{name}" for name in ("comparison.json", "tuning.json", "pictures/masks.png")} <= set(names)
    assert not [name for name in names if name.endswith(("safetensors", "html", ".tex")) or "tb/" in name]
    with unpacked(packed) as folder:
        assert len(read_runs(folder)) == 4
    assert not folder.exists()


def zipped(path: Path, *members: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            member = zipfile.ZipInfo(name)
            member.filename = name  # ZipInfo would mend it
            member.external_attr = mode << 16
            archive.writestr(member, content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names",
    [
        ("../run.json",), ("/tmp/run.json",), ("a/../../run.json",), ("a\\..\\run.json",), ("C:/run.json",),
        ("a//run.json",), ("./run.json",), ("a/b\nrun.json",), ("a/run.json", "a/RUN.json"), ("a/run.json",) * 2,
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(tmp_path, names):
    inner = tmp_path / "inner"
    inner.mkdir()
    path = zipped(inner / "x.zip", *((name, b"{}") for name in names))
    with pytest.raises(FeatmaskError, match=r"names of files within it|every name once"):
        rebuild([path], command="c")
    assert [file.name for file in tmp_path.rglob("*")] == ["inner", "x.zip"]


def test_links_bombs_and_other_files_are_refused(tmp_path, monkeypatch):
    path = zipped(tmp_path / "x.zip", ("a/run.json", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777)
    with pytest.raises(FeatmaskError, match="a link"):
        rebuild([path], command="c")
    path = zipped(tmp_path / "x.zip", *((f"a/{i}.txt", b"x" * 50) for i in range(9)))
    for limit, size, says in (("MOST", 8, "at most 8 members"), ("LARGEST", 49, "49"), ("ALL", 449, "449 bytes")):
        with monkeypatch.context() as patch:
            patch.setattr(f"featmask.report.across.archive.{limit}", size)
            with pytest.raises(FeatmaskError, match=says):
                rebuild([path], command="c")
    with pytest.raises(FeatmaskError, match="holds no finished run"):
        rebuild([path], command="c")
    (tmp_path / "y.zip").write_bytes(b"no zip file")
    with pytest.raises(FeatmaskError, match="expected a zip file"):
        rebuild([tmp_path / "y.zip"], command="c")
    broken = bytearray(zipped(tmp_path / "x.zip", ("a/run.json", b'{"method": "none"}')).read_bytes())
    broken[45] ^= 255
    (tmp_path / "x.zip").write_bytes(broken)
    with pytest.raises(FeatmaskError, match="CRC"):
        rebuild([tmp_path / "x.zip"], command="c")


def test_what_is_no_record_is_not_unpacked(tmp_path):
    path = zipped(
        tmp_path / "x.zip", *((name, b"{}") for name in (*RECORD, "none/seed-0/evil.py", "model.safetensors"))
    )
    with unpacked(path) as folder:
        found = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    assert found == sorted(RECORD)


def test_counts_across_studies_equal_a_naive_count(three, index):
    studies = {"clothes": "clothes/abc123", "cells-abc123": "cells/abc123", "cells-def456": "cells/def456"}
    assert {f"{name}/report.html" for name in studies} <= set(index)
    text = text_of(index["index.html"].read_text())
    found = []
    for method, folder in zip(METHODS[1:], FOLDERS[1:], strict=True):
        places = [three / place for place in studies.values() if (three / place / folder).is_dir()]
        said = [outcome(*(values(place, name, "clean", "accuracy") for name in (folder, "none"))) for place in places]
        better, worse, found = said.count("better"), said.count("worse"), [*found, said]
        assert f"{method} ▲ {better} ▼ {worse} of {len(said)}" in text
        assert f"clean better in {better}, worse in {worse} of {len(said)}" in text
    assert [len(set(said)) for said in found] == [2, 1]  # once or twice better or worse; neither
    assert found[0].count("better") != found[0].count("worse")
    assert "Compared in one study alone, and shown there: dropout." in text
    table = index["index.md"].read_text().split("## How to read this")[0]
    assert "| lfm |" in table
    assert "| dropout |" not in table
    with open(index["index.csv"], newline="") as handle:
        rows = {(row["study"], row["method"], row["aspect"]): row for row in csv.DictReader(handle)}
    assert ("cells-abc123", "dropout", "clean") in rows
    for name, place in studies.items():
        base, own = (values(three / place, method, "clean", "accuracy") for method in ("none", "lfm"))
        row = rows[name, "lfm", "clean"]
        assert float(row["difference"]) == pytest.approx((own - base).mean())
        half = T4 * (own - base).std(ddof=1) / np.sqrt(5)
        assert float(row["high95"]) - float(row["difference"]) == pytest.approx(half)
        assert float(row["baseline_mean"]) == pytest.approx(base.mean())
    # of three sizes the middle one stands for the attack
    assert rows["clothes", "lfm", "linf"]["metric"] == "worst@2/255"
    assert rows["clothes", "lfm", "l2"]["metric"] == "worst-l2@0.5"
    assert ("cells-abc123", "lfm", "linf") not in rows


def test_what_stands_for_an_aspect_of_re_identification():
    sizes = [Figure("attack_query", f"worst.{figure}@{eps}/255") for eps in (2, 5, 8) for figure in ("rank1", "mAP")]
    others = [("clean", "rank1"), ("clean", "mAP"), ("cross_b", "mAP"), ("attack_gallery", "worst.mAP@5/255")]
    others += [("attack_query", "clean.mAP"), ("attack_query", "fna.mAP@5/255"), ("reranked", "mAP")]
    study = Study("none", ["none"], [*sizes, *(Figure(*pair) for pair in others)], {}, [])
    found = {name: (m.suite, m.name) for name in ASPECTS if (m := figure_of(study, name)) is not None}
    assert found == {
        "clean": ("clean", "mAP"), "linf": ("attack_query", "worst.mAP@5/255"), "cross": ("cross_b", "mAP"),
        "gallery": ("attack_gallery", "worst.mAP@5/255"), "reranked": ("reranked", "mAP"),
    }  # fmt: skip


def test_two_studies_without_a_common_method(tmp_path):
    for name in "ab":
        make_study(tmp_path, name, methods=("none", f"only_{name}"), seeds=1, parts=())
    written = rebuild([tmp_path], command="c")
    assert written["index.html"].parent == tmp_path
    assert "No method was compared in two of these studies" in text_of(written["index.html"].read_text())


def drawn(panel):
    figure, _ = panel.draw(matplotlib_figure.Figure)
    return figure.axes[0]


def test_curves_and_bands_equal_means_and_intervals_computed_another_way(folder):
    study = aggregate(read_runs(folder, METHODS))
    by_severity = [values(folder, "lfm", "corruptions", "clean")]
    for severity in (1, 3, 5):
        by_severity.append(np.mean([values(folder, "lfm", "corruptions", f"{kind}:{severity}") for kind in KINDS], 0))
    by_size = [
        values(folder, "lfm", "l2", name) for name in ("clean", *(f"worst-l2@{e}" for e in ("0.25", "0.5", "1")))
    ]
    groups = {group.title: group for group in [*attack_groups(study), *degraded_groups(study)]}
    for title, expected, places in (
        ("Corrupted images", by_severity, [0, 1, 3, 5]), ("Under attack: L2", by_size, [0, 0.25, 0.5, 1])
    ):  # fmt: skip
        ax = drawn(groups[title].panels[0])
        line, band = ax.lines[METHODS.index("lfm")], ax.collections[METHODS.index("lfm")]
        assert line.get_xdata() == pytest.approx(places)
        assert line.get_ydata() == pytest.approx([100 * own.mean() for own in expected])
        halves = [100 * T4 * own.std(ddof=1) / np.sqrt(5) for own in expected]
        corners = {tuple(np.round(corner, 6)) for corner in band.get_paths()[0].vertices}
        for x, own, half in zip(places, expected, halves, strict=True):
            for end in (100 * own.mean() - half, 100 * own.mean() + half):
                assert (x, round(min(max(end, 0), 100), 6)) in corners


def test_the_cost_is_relative_to_the_median_run_of_the_baseline(folder):
    study = aggregate(read_runs(folder, METHODS))
    seconds = {
        method: [
            json.loads(path.read_text())["seconds_per_epoch"] for path in sorted(folder.glob(f"{method}/*/run.json"))
        ]
        for method in ("none", "lfm")
    }
    ax = drawn(next(group for group in training_groups(study) if group.title == "Cost of an epoch").panels[0])
    base = sorted(seconds["none"])[2]
    for method, line in zip(("none", "lfm"), ax.lines[::2], strict=False):
        assert sorted(line.get_xdata()) == pytest.approx(sorted(value / base for value in seconds[method]))


def test_a_row_a_corruption(folder):
    (table,) = kind_tables(aggregate(read_runs(folder, METHODS)))
    rows = dict(itertools.chain.from_iterable(own for _, own in table.groups))
    assert len(rows) == 16
    signs, said = {"better": "▲", "worse": "▼", "same": ""}, set()
    for (place, method), kind in itertools.product(enumerate(FOLDERS[1:], 1), KINDS):
        base, own = (values(folder, name, "corruptions", kind) for name in ("none", method))
        cell = rows[kind.replace("_", " ").capitalize().replace("Jpeg", "JPEG")][place]
        assert (cell.text, cell.difference) == (f"{100 * own.mean():.1f}", f"{100 * (own - base).mean():+.1f}")
        assert cell.sign.strip(" †") == signs[outcome(own, base)]
        said.add(outcome(own, base))
    assert len(said) > 1


def test_methods_are_told_apart_by_more_than_colour():
    looks = [look(number) for number in range(14)]
    assert len(set(looks)) == 14
    assert len({marker for _, marker in looks[:7]}) == 7  # of the usual number no sign comes twice


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2.1."""
    light, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(one, dark):
    css = re.search(r"<style>(.*?)</style>", one["report.html"].read_text(), re.DOTALL)[1]
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", blocks[dark]))
    for text, ground in itertools.product(
        ("ink", "soft", "accent", "good", "bad", "doubt"), ("paper", "panel", "best")
    ):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for number in range(7):  # what is drawn
        assert contrast(colours[f"c{number}"], colours["paper"]) >= 3
    # for the two common kinds of colour blindness (Machado et al. 2009, severity 1), apart in CIE L*a*b*
    for matrix in (
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ):
        seen = [lab(np.clip(np.array(matrix) @ linear(colours[f"c{number}"]), 0, 1)) for number in range(7)]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 10


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in xyz / [0.95047, 1, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_the_verb_needs_no_torch(small, tmp_path):
    packed = str(small[1]["records.zip"])
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refuse())
sys.argv = ["featmask", "report", {packed!r}, "--out", {str(tmp_path)!r}, "--methods", "lfm", "--json"]
from featmask.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {"report.html", "report.md", "table.csv", "table.tex"}
    text = text_of((tmp_path / "report.html").read_text())
    assert "--methods lfm" in text
    assert "none," not in (tmp_path / "table.csv").read_text()


def test_the_verb_and_its_mistakes(three, tmp_path, call, fails):
    single = three / "clothes" / "abc123" / "lfm" / "seed-0"
    fails("report", three, single, says="records of single models")
    fails("report", tmp_path / "none", says="there is none at")
    fails("report", tmp_path, says="no finished run")
    fails("report", three, "--pack", tmp_path / "x.tar", "--out", tmp_path, says="ends with .zip")
    fails("report", three, "--title", "T", "--out", tmp_path, says="a title is for one study")
    fails("report", three / "clothes", three / "cells", says="--out")
    fails("report", three, "--methods", "none,mixup", "--out", tmp_path, says="'mixup'")
    fails("report", single, "--pack", tmp_path / "x.zip", says="of studies")
    assert not list(tmp_path.iterdir())
    code, stdout, _ = call("report", single, "--out", tmp_path / "single")
    assert code == 0
    assert "robustness.html" in stdout


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("comparison.json", "[]", r"comparison\.json: expected an object"),
        ("comparison.json", '{"schema": 1, "failed": []}', r"comparison\.json: failed: expected"),
        ("tuning.json", '{"schema": 2}', "schema 1"),
        ("tuning.json", '{"schema": 1, "trials": 3, "methods": []}', r"tuning\.json: methods: expected"),
        ("pictures/masks.json", "no", r"masks\.json: .*JSON.*drawn again"),
    ],
)
def test_records_that_cannot_be_read_leave_the_page_as_it_was(tmp_path, name, text, says):
    study = make_study(tmp_path, seeds=1, parts=())
    (study / "pictures").mkdir()
    (study / "report.html").write_text("the last one")
    (study / name).write_text(text)
    with pytest.raises(FeatmaskError, match=says):
        rebuild([study], command="c")
    assert (study / "report.html").read_text() == "the last one"
    assert not (study / "report.md").exists()


PROBE = """<script>
const wide = [...document.querySelectorAll('*')].filter(
  e => e.scrollWidth > e.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(e).overflowX));
const stops = [...document.querySelectorAll('a[href], summary, [tabindex="0"]')].filter(e => e.getClientRects().length);
let unseen = 0;
for (const stop of stops) {
  stop.focus({focusVisible: true});
  if (document.activeElement !== stop || getComputedStyle(stop).outlineStyle === 'none') unseen += 1;
}
const root = document.documentElement;
document.body.dataset.found = JSON.stringify({page: root.scrollWidth, window: root.clientWidth, regions: wide.length,
  locked: wide.filter(e => e.tabIndex < 0).length, stops: stops.length, unseen});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("which", ["report.html", "index.html"])
def test_in_a_browser_by_keyboard_and_at_a_phones_width(one, index, tmp_path, width, which):
    page = (one if which == "report.html" else index)[which].read_text()
    page = page.replace("<details>", "<details open>")
    found = json.loads(in_a_frame(page, PROBE, tmp_path, width))
    assert found["page"] <= found["window"] <= width
    assert found["stops"] > 10
    assert (found["locked"], found["unseen"]) == (0, 0)
    assert width > 1000 or found["regions"] > 0  # there was something to scroll


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_in_a_browser_print_opens_what_is_folded(one, tmp_path):
    target = tmp_path / "page.pdf"
    chromium(tmp_path / "profile", f"--print-to-pdf={target}", "--no-pdf-header-footer", one["report.html"].as_uri())
    assert target.stat().st_size > 50_000
    tool = shutil.which("pdftotext")
    if tool:
        text = subprocess.run([tool, str(target), "-"], capture_output=True, text=True, check=True).stdout
        assert "begin{tabular}" in text
