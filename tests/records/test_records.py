"""Records are written as they were read: the published ones byte for byte, and numbers that are hard to write."""

from __future__ import annotations

import json
import math
import re
import zipfile
from pathlib import Path

import pytest

from featmask.errors import FeatmaskError
from featmask.records.checkpoint import Header, read_header
from featmask.records.comparison import COMPARISON
from featmask.records.doctor import DOCTOR
from featmask.records.file import lines_of, read_json, read_lines
from featmask.records.pictures import PictureRecord
from featmask.records.run import ENVIRONMENT, RECIPE, RUN, RunInfo, read_epochs
from featmask.records.subject import SUBJECT
from featmask.records.suite import Suite, read_samples, read_suite, write_suite
from featmask.records.tuning import TUNING, Extent, Settings

PUBLISHED = Path(__file__).parents[2] / "docs" / "study" / "records.zip"
KINDS = {kind.name: kind for kind in (RUN, RECIPE, ENVIRONMENT, DOCTOR, SUBJECT, COMPARISON, TUNING)}


@pytest.mark.slow
def test_every_published_record_is_written_again_byte_for_byte(tmp_path):
    with zipfile.ZipFile(PUBLISHED) as archive:
        archive.extractall(tmp_path)
    seen = set()
    # further seeds hold files of the same kinds
    first = (path for path in sorted(tmp_path.rglob("*.json")) if not re.search(r"seed-[1-9]", str(path)))
    for path in first:
        again = tmp_path / "again"
        if path.name in KINDS:
            kind = KINDS[path.name]
            kind.write(again, kind.read(path.parent))
            written = again / path.name
        elif path.parent.name == "eval":
            write_suite(again, *read_suite(path))
            written = again / "eval" / path.name
            samples = path.with_suffix(".samples.csv")
            assert written.with_suffix(".samples.csv").read_bytes() == samples.read_bytes(), samples
        else:
            plain = read_json(path, PictureRecord, "").plain()
            assert plain == json.loads(path.read_text())
            continue
        assert written.read_bytes() == path.read_bytes(), path
        seen.add(path.name)
    assert set(KINDS) <= seen
    for path in tmp_path.rglob("train.jsonl"):
        assert lines_of(read_epochs(path.parent)) == path.read_text()


def test_the_order_of_keys_is_that_of_the_training_not_of_the_schema(tmp_path):
    told = {"layer": "none", "options": {}, "point": None, "dropped_fraction": 0.0, "method": "none", "seed": 0,
            "set": {}, "val_loss": 0.5, "val_accuracy": 1, "best_by": "val_accuracy", "best_epoch": None}  # fmt: skip
    info = RunInfo(**told)
    assert list(info.plain().items()) == list(told.items())
    assert info.validation == {"val_loss": 0.5, "val_accuracy": 1}
    later = info.model_copy(update={"evaluate": {"suites": ["clean"]}, "seconds_measuring": 2.0})
    RUN.write(tmp_path, later)
    assert list(json.loads((tmp_path / "run.json").read_text())) == [*told, "evaluate", "seconds_measuring"]
    assert RUN.read(tmp_path) == later


def test_keys_that_other_versions_wrote_are_no_mistake(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"method": "lfm", "seed": 3, "colour": "green"}))
    assert RUN.read(tmp_path).plain() == {"method": "lfm", "seed": 3, "colour": "green"}
    (tmp_path / "subject.json").write_text(json.dumps({"schema": 1, "title": "a", "colour": "green"}))
    assert SUBJECT.read(tmp_path).plain() == {"title": "a"}
    recipe = {"methods": {"lfm": None}, "new": {"key": 1}, "name": "a"}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    found = RECIPE.read(tmp_path)
    assert (found.name, found.note, list(found.every)) == ("a", None, list(recipe))


def test_numbers_stay_what_they_are(tmp_path):
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 2**70, 1, 1.0, -0.0, math.inf, -math.inf, 123456.789e-10]
    path = tmp_path / "a.jsonl"
    path.write_text(lines_of([{str(i): value} for i, value in enumerate([*values, math.nan])]))
    found = [next(iter(line.values())) for line in read_lines(path, dict[str, int | float], "")]
    assert [repr(value) for value in found] == [repr(value) for value in [*values, math.nan]]


@pytest.mark.parametrize("value", ["1", True, None, [1]])
def test_what_is_no_number_is_not_taken_for_one(tmp_path, value):
    (tmp_path / "a.jsonl").write_text(lines_of([{"epoch": value}]))
    with pytest.raises(FeatmaskError, match=r"line 1: epoch.*do it"):
        read_lines(tmp_path / "a.jsonl", dict[str, int | float], "do it")


def test_a_header_survives_and_says_of_which_field_it_is(tmp_path):
    header = Header(
        recipe={"a": [1, "<b>"]}, run=RunInfo(method="lfm", seed=1, val_mAP=0.5), num_ids=3, mean=[0.5], std=[1]
    )
    assert read_header(header.text(), tmp_path) == header
    assert list(json.loads(header.text())) == ["recipe", "run", "num_ids", "mean", "std"]
    with pytest.raises(FeatmaskError, match="classes or num_ids"):
        read_header(header.text().replace("num_ids", "persons"), tmp_path)


def test_a_mistake_shows_few_lines_and_little_of_what_came(tmp_path):
    (tmp_path / "env.json").write_text(json.dumps({f"library{i}": [0] * 1000 for i in range(9)}))
    with pytest.raises(FeatmaskError) as error:
        ENVIRONMENT.read(tmp_path)
    assert "and 6 more" in str(error.value)
    assert len(str(error.value)) < 800
    assert "\n" not in str(error.value)


def test_samples_keep_their_columns_where_there_are_none(tmp_path):
    write_suite(tmp_path, Suite("clean", "test", 0, {}), {"index": [], "correct": []})
    _, columns = read_suite(tmp_path / "eval" / "clean.json")
    assert {name: len(values) for name, values in columns.items()} == {"index": 0, "correct": 0}
    path = tmp_path / "eval" / "people.samples.csv"
    path.write_text('index,pid,rank1\r\n0,"a,b",1\r\n')
    assert read_samples(path)["pid"].tolist() == ["a,b"]


def test_a_search_in_words():
    space = {"low": 0.05, "high": 1, "log": True, "from": 0.02}
    assert str(Extent.model_validate(space)) == "from 0.02 to 0.05 … 1 (log)"
    assert Extent.model_validate(space).plain() == space
    assert str(Extent(choices=["stem", ["stem", "layer1"]])) == "one of stem, stem + layer1"
    assert str(Settings(at=["stem", "layer1"], options={"p": 0.2, "area": [0.02, 0.31]})) == (
        "p 0.2, area 0.02 to 0.31, at stem + layer1"
    )
