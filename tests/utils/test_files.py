"""Files are written whole or not at all, and read back as they were."""

from __future__ import annotations

import json

import numpy as np
import pytest

from featmask.errors import FeatmaskError, MissingExtraError, require
from featmask.records.run import read_epochs, read_run
from featmask.records.suite import Suite, read_suite, write_suite
from featmask.utils.files import replacing, write_json, write_text


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(OSError, match="no space"), replacing(path) as beside:  # noqa: PT012 - both lines are the point
        beside.write_text("half of the new")
        raise OSError("no space")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_not_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_suite_survives_the_round_trip(tmp_path):
    suite = Suite("linf", "test", 3, {"pgd@2/255": 1 / 3}, {"eps": ["2/255"]}, ("an upper bound",))
    columns = {"index": [4, 5, 9], "pgd@2/255": [0, 1, 0], "ap": [1 / 3, 1, 0.1], "confidence": [0.5, 0.25, 1 / 3]}
    write_suite(tmp_path, suite, columns)
    read, samples = read_suite(tmp_path / "eval" / "linf.json")
    assert read == suite
    assert samples["index"].tolist() == [4, 5, 9]
    assert samples["index"].dtype == np.int64
    assert samples["ap"].tolist() == [1 / 3, 1, 0.1], "what statistics are made from keeps every digit"
    assert samples["confidence"].tolist() == [0.5, 0.25, 0.3333], "what only describes a sample is rounded"


def test_columns_of_unequal_length_are_refused(tmp_path):
    with pytest.raises(FeatmaskError, match="length 2"):
        write_suite(tmp_path, Suite("clean", "test", 2, {}), {"index": [0, 1], "correct": [1]})


def test_a_log_that_a_kill_cut_short_is_read_up_to_there(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert read_epochs(tmp_path) == [{"epoch": 1}, {"epoch": 2}]


def test_an_unfinished_run_is_said_to_be_one(tmp_path):
    with pytest.raises(FeatmaskError, match=r"run\.json is missing"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps([1]))
    with pytest.raises(FeatmaskError, match="expected an object"):
        read_run(tmp_path)


def test_a_missing_library_names_the_extra():
    with pytest.raises(MissingExtraError, match=r"featmask\[train\]"):
        require("no_such_library_at_all.sub", "train")
    assert require("json", "train") is json
