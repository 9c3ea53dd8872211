"""The committed study: its pages are what its raw records give, and its text quotes nothing that they do not say."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from featmask.report import rebuild

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "docs" / "study"
TEXT = (STUDY / "README.md").read_text(encoding="utf-8")
#: A difference with its interval, in points, and the sign of its verdict: ``+5.3 (+1.0 to +9.7) ▲†``.
QUOTED = re.compile(r"[+-]?\d+\.\d \([+-]?\d+\.\d to [+-]?\d+\.\d\)(?: [▲▼]†?)?")
SIGNS = {"better": " ▲", "worse": " ▼"}


def points(value: str) -> str:
    """As a page shows a difference."""
    rounded = f"{100 * float(value):+.1f}"
    return "0.0" if rounded in ("+0.0", "-0.0") else rounded


def told(row: dict[str, str]) -> str:
    sign = SIGNS.get(row["outcome"], "")
    kept = float(row["adjusted_p"] or 1) < 0.05
    span = f"{points(row['difference_low95'])} to {points(row['difference_high95'])}"
    return f"{points(row['difference'])} ({span}){sign}{'†' if sign and not kept else ''}"


def test_every_difference_that_the_text_quotes_is_one_of_the_tables_with_its_verdict():
    known = set()
    for path in (STUDY / "pages").glob("*/table.csv"):
        with path.open(newline="", encoding="utf-8") as handle:
            known |= {told(row) for row in csv.DictReader(handle) if row["difference_low95"]}
    quoted = QUOTED.findall(TEXT)
    assert len(quoted) > 100, "the text quotes differences"
    assert sorted(set(quoted) - known) == []


def test_every_mean_that_the_text_quotes_is_one_of_the_pages():
    pages = "".join(path.read_text(encoding="utf-8") for path in (STUDY / "pages").rglob("*.md"))
    quoted = re.findall(r"\d+\.\d ± \d+\.\d", TEXT)
    assert len(quoted) > 20
    assert [mean for mean in quoted if mean not in pages] == []


@pytest.mark.slow
def test_the_pages_are_what_the_records_give(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    command = re.search(r"^featmask report docs/study/records\.zip .*$", TEXT, flags=re.MULTILINE)
    assert command, "the text says how its pages are made"
    written = rebuild(["docs/study/records.zip"], out=tmp_path, command=command[0])
    compared = [name for name in written if name.endswith((".md", ".tex"))]  # pages in HTML are long, and not kept
    assert len(compared) == 7 * 2 + 1
    for name in compared:
        assert (tmp_path / name).read_bytes() == (STUDY / "pages" / name).read_bytes(), name
