"""Values as text: what every page and table writes in the same way."""

from __future__ import annotations

import csv
import io
import math

import pytest
import yaml
from scipy.stats import binomtest

from featmask.records.figures import Figure
from featmask.report.values import counted_range, csv_text, enumerated, exact, finite, in_groups, merged, outline


def test_numbers_in_full_precision_come_back():
    for value in (0.1, 1 / 3, -2.5e-300, 7):
        assert float(exact(value)) == value
    assert [exact(value) for value in (None, math.nan, math.inf)] == ["", "", ""]


def test_a_table_reads_back_whatever_its_cells_hold():
    lines = [["a,b", 'say "x"', 0.5], ["two\nlines", "", None]]
    text = csv_text(["name", "said", "value"], iter(lines))
    assert list(csv.reader(io.StringIO(text))) == [
        ["name", "said", "value"],
        ["a,b", 'say "x"', "0.5"],
        ["two\nlines", "", ""],
    ]
    assert "\r" not in text


@pytest.mark.parametrize(
    ("parts", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_in_a_sentence(parts, said):
    assert enumerated(parts) == said


def test_a_range_is_of_counted_shares_alone():
    found = counted_range(Figure("clean", "accuracy"), 41 / 50, 50)
    ends = binomtest(41, 50).proportion_ci(0.95, method="wilson")
    assert found is not None
    assert found == pytest.approx((0.82, ends.low, ends.high))
    # no count of 50 gives it, no such share, no samples, no number, no share at all
    for value, n in ((0.821, 50), (1.02, 50), (0.0, 0), (math.nan, 50), (math.inf, 50)):
        assert counted_range(Figure("clean", "accuracy"), value, n) is None
    assert counted_range(Figure("clean", "ece"), 0.5, 50) is None


def test_corruptions_stand_in_their_published_groups():
    found = in_groups(["spatter", "fog", "shot_noise", "gaussian_noise", "snow"])
    assert found == [("Noise", ["gaussian_noise", "shot_noise"]), ("Weather", ["snow", "fog"]), ("Others", ["spatter"])]
    assert in_groups([]) == []


def test_versions_that_differ_are_all_told_once():
    sources = [{"torch": "2.9", "cores": 2}, {"torch": "2.15", "cores": 2}, {"torch": "2.9"}, {}]
    assert merged(sources) == {"torch": "2.9 | 2.15", "cores": "2"}


def test_a_recipe_reads_back_as_yaml():
    recipe = {
        "name": "elpv",
        "data": {"root": None, "size": 96, "augment": ["flip", "shift"]},
        "methods": {"none": {}, "lfm": {"p": 0.15, "inplace": True}},
        "note": "one line\nand another",
    }
    assert yaml.safe_load(outline(recipe)) == recipe


def test_what_can_be_drawn():
    assert all(map(finite, (0, 1.5, -2)))
    assert not any(map(finite, (True, None, "1", math.nan, math.inf)))
