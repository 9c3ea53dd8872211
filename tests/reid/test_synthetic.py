"""Rendered pedestrians: names, splits, reuse, and that nothing is left half-written."""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featmask.errors import FeatmaskError
from featmask.reid.synthetic import World, contact_sheet, layout, render_world
from featmask.reid.synthetic.world import seen_by

Image = pytest.importorskip("PIL.Image")

TINY = World(train_ids=4, test_ids=4, cameras=3, shots=2, distractors=6, junk=5, height=64, width=32)
#: Market-1501's own rule, with PNG for JPEG.
NAME = re.compile(r"^(-1|\d{4})_c([1-9]\d*)s\d+_\d{6}_\d{2}\.png$")


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.png"))}


def labels(root: Path, folder: str) -> list[tuple[int, int]]:
    found = [NAME.match(path.name) for path in (root / folder).iterdir()]
    assert all(found)
    return [(int(match[1]), int(match[2])) for match in found if match]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return render_world(TINY, tmp_path_factory.mktemp("synthetic") / "tiny")


def test_equal_worlds_give_equal_bytes_and_other_seeds_do_not(tiny, tmp_path):
    from featmask.reid.synthetic import cameras, shots

    for cache in (cameras.camera_of, shots.person_of, shots._folds):
        cache.cache_clear()  # else the second rendering would compare with the first one's own cameras
    first, second = files(tiny), files(render_world(TINY, tmp_path / "again"))
    assert first == second
    other = files(render_world(replace(TINY, seed=1), tmp_path / "other"))
    assert not set(first.values()) & set(other.values())
    assert len(set(first.values())) == len(first)  # nor is any picture there twice


def test_names_and_counts_are_what_was_asked_for(tiny):
    train, query, gallery = (labels(tiny, name) for name in ("bounding_box_train", "query", "bounding_box_test"))
    cameras = {pid: seen_by(TINY, pid) for pid in range(1, 9)}
    assert Counter(train) == {(pid, camera): 2 for pid in (2, 4, 6, 8) for camera in cameras[pid]}
    assert Counter(query) == {(pid, camera): 1 for pid in (1, 3, 5, 7) for camera in cameras[pid]}
    known = Counter(item for item in gallery if item[0] > 0)
    assert known == {(pid, camera): 2 for pid in (1, 3, 5, 7) for camera in cameras[pid]}
    pids = Counter(pid for pid, _ in gallery)
    assert (pids[0], pids[-1]) == (6, 5)
    assert {camera for pid, camera in gallery if pid == 0} == {1, 2, 3}


def test_every_query_has_a_right_gallery_picture_by_another_camera_and_ids_are_disjoint():
    world = World()
    seen = defaultdict(set)
    parts: dict[str, set[int]] = defaultdict(set)
    for file in layout.plan(world):
        match = NAME.match(file.name)
        assert match, file.name
        parts[file.folder].add(int(match[1]))
        if file.folder == "bounding_box_test":
            seen[int(match[1])].add(int(match[2]))
    assert all(len(seen[pid]) >= 2 for pid in parts["query"])
    assert len(parts["bounding_box_train"]) == 120
    assert len(parts["query"]) == 80
    assert not parts["bounding_box_train"] & (parts["query"] | parts["bounding_box_test"])
    # three cameras in four beyond the first two: not always all (by chance 0.5625 ** 200 < 1e-49)
    counts = {len(seen_by(world, pid)) for pid in range(1, 201)}
    assert counts == {2, 3, 4}


def test_names_differ_however_many_there_are():
    world = World(train_ids=4999, test_ids=4999, cameras=99, shots=1, distractors=39_000, junk=39_000)
    names = [layout._name(f"{pid:04d}", 99, pid, shot) for pid in (1, 2, 9997, 9998) for shot in (0, 98)]
    names += [layout._name(pid, 1, number, 0) for pid in ("0000", "-1") for number in (0, world.junk - 1)]
    assert all(NAME.match(name) for name in names)
    assert len(set(names)) == len(names)


def test_adding_identities_and_shots_leaves_the_others_as_they_were(tiny, tmp_path):
    more = replace(TINY, train_ids=6, test_ids=5, shots=3, distractors=8, junk=7)
    before, after = files(tiny), files(render_world(more, tmp_path / "more"))
    assert len(after) > len(before)
    assert {name: after[name] for name in before} == before


def test_pictures_have_the_size_and_are_colour(tiny):
    for path in tiny.rglob("*.png"):
        with Image.open(path) as picture:
            assert picture.size == (32, 64)
            assert picture.mode == "RGB"
            assert np.asarray(picture).std() > 4  # no blank ones


def test_the_record_says_what_it_is(tiny):
    record = json.loads((tiny / "RENDERED.json").read_text())
    assert record["world"] == TINY.parameters()
    assert record["world"]["train_ids"] == 4
    assert isinstance(record["format"], int)
    assert "not photographs" in record["notice"]
    assert record["pictures"]["bounding_box_train"] == len(list((tiny / "bounding_box_train").iterdir()))


def test_a_finished_world_is_used_again(tiny, monkeypatch):
    monkeypatch.setattr(layout, "plan", lambda world, plan=layout.plan: _unrendered(plan(world)))
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*")}
    assert render_world(TINY, tiny) == tiny
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*")} == before


def _unrendered(plan):
    def fail():
        raise AssertionError("rendered again")

    return (replace(file, render=fail) for file in plan)


@pytest.mark.parametrize("after", [0, 20])
def test_a_killed_rendering_leaves_nothing(tmp_path, monkeypatch, after):
    plan = layout.plan

    def killed():
        raise KeyboardInterrupt

    def planted(world):
        return (replace(file, render=killed) if number == after else file for number, file in enumerate(plan(world)))

    monkeypatch.setattr(layout, "plan", planted)
    with pytest.raises(KeyboardInterrupt):
        render_world(TINY, tmp_path / "world")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert render_world(TINY, tmp_path / "world").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_an_empty_folder_is_filled_and_whoever_comes_second_takes_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "world").mkdir()
    small = replace(TINY, train_ids=1, test_ids=1, junk=0, distractors=0)
    real = layout._finished
    answers = iter([False])
    # as if another process had finished between the look and the rename
    monkeypatch.setattr(layout, "_finished", lambda *arguments: next(answers, None) is None and real(*arguments))
    first = render_world(small, tmp_path / "world")
    stamp = (first / "RENDERED.json").stat().st_mtime_ns
    answers = iter([False])
    assert render_world(small, tmp_path / "world") == first
    assert (first / "RENDERED.json").stat().st_mtime_ns == stamp
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_another_world_or_other_files_in_the_folder_are_named(tiny, tmp_path):
    with pytest.raises(FeatmaskError, match="shots 2, expected 3"):
        render_world(replace(TINY, shots=3), tiny)
    (tmp_path / "holiday.png").write_bytes(b"mine")
    with pytest.raises(FeatmaskError, match="no rendered world"):
        render_world(TINY, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.png"]


def test_old_formats_broken_records_and_lost_pictures_are_named(tmp_path):
    small = replace(TINY, train_ids=1, test_ids=1, junk=0, distractors=0)
    root = render_world(small, tmp_path / "world")
    record = json.loads((root / "RENDERED.json").read_text())
    for text, says in (
        (json.dumps({**record, "format": 0}), "format 0, expected"),
        ("[]", "another form"),
        ("{", "cannot be read"),
    ):
        (root / "RENDERED.json").write_text(text)
        with pytest.raises(FeatmaskError, match=says):
            render_world(small, root)
    (root / "RENDERED.json").write_text(json.dumps(record))
    next((root / "query").iterdir()).unlink()
    with pytest.raises(FeatmaskError, match=r"query: expected \d pictures, found \d"):
        render_world(small, root)


def test_the_cache_folder_follows_the_environment_and_the_parameters(tmp_path, monkeypatch):
    small = replace(TINY, train_ids=1, test_ids=1, junk=0, distractors=0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("FEATMASK_CACHE", raising=False)
    assert layout._cached(small).parent == tmp_path / "xdg" / "featmask"
    monkeypatch.setenv("FEATMASK_CACHE", str(tmp_path / "own"))
    found = render_world(small)
    assert found.parent == tmp_path / "own"
    assert os.listdir(tmp_path) == ["own"]
    places = {layout._cached(replace(small, **change)) for change in ({}, {"seed": 1}, {"shots": 1}, {"domain": "b"})}
    assert len(places) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": "c"},
        {"domain": 1},
        {"train_ids": 0},
        {"test_ids": 5000},
        {"cameras": 1},
        {"shots": 0},
        {"shots": 2.0},
        {"distractors": -1},
        {"junk": True},
        {"height": 8},
        {"width": 4000},
        {"seed": -1},
    ],
    ids=str,
)
def test_wrong_parameters_are_named(wrong):
    (name,) = wrong
    with pytest.raises(FeatmaskError, match=name):
        World(**wrong)


def test_a_contact_sheet_shows_eight_rows_of_eight(tmp_path):
    contact_sheet(TINY, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 32, 8 * 64)


def test_the_reader_of_market_finds_nothing_wrong(tiny):
    from featmask.reid.data import check_reid, read_reid

    assert check_reid(tiny).problems == []
    found = read_reid(tiny)
    on_disk = [len(list((tiny / name).iterdir())) for name in ("bounding_box_train", "query", "bounding_box_test")]
    assert [len(found.train), len(found.query), len(found.gallery)] == on_disk
    assert int((found.gallery.pids == -1).sum()) == 5
