"""The checker of re-identification data: each fault is planted once, and must be found once and under its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from featmask.reid.data import check_reid
from featmask.reid.data.check import KINDS

image = pytest.importorskip("PIL.Image")


def picture(path: Path, size: tuple[int, int] = (16, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([*path.name.encode()]).integers(0, 256, (*size, 3), dtype=np.uint8)
    image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def own(tmp_path) -> Path:
    """Three people to learn from; two queries; a gallery with two right images, two junk and three distractors."""
    root = tmp_path / "own"
    for name in ("0010_c1_1.jpg", "0010_c2_2.jpg", "0011_c3_3.jpg", "0012_c1_4.png"):
        picture(root / "bounding_box_train" / name)
    for name in ("0001_c1_5.jpg", "0002_c2_6.jpg"):
        picture(root / "query" / name)
    gallery = ["0001_c2_7.jpg", "0002_c1_8.jpg", "-1_c1_9.jpg", "-1_c4_10.jpg"]
    for name in [*gallery, *(f"0000_c{n}_1{n}.jpg" for n in (1, 2, 5))]:
        picture(root / "bounding_box_test" / name)
    return root


def kinds(root: Path, **options) -> list[str]:
    return [kind for kind, _, _ in check_reid(root, **options).problems]


def test_a_good_set_is_counted_and_ok(own):
    (own / "query" / "Thumbs.db").write_bytes(b"x")
    check = check_reid(own)
    assert check.ok
    assert (check.layout, check.published, check.notes) == ("market", {}, ())
    assert check.ignored == (str(own / "query" / "Thumbs.db"),)
    columns = ("images", "ids", "cameras", "junk", "distractors")
    assert {part: tuple(row[name] for name in columns) for part, row in check.counts.items()} == {
        "train": (4, 3, 3, 0, 0),
        "query": (2, 2, 2, 0, 0),
        "gallery": (7, 2, 4, 2, 3),
    }
    lines = check.lines()
    assert lines[-1] == "ok"
    assert [line.split() for line in lines[1:5]] == [
        [*columns],
        ["train", "4", "3", "3", "0", "0"],
        ["query", "2", "2", "2", "0", "0"],
        ["gallery", "7", "2", "4", "2", "3"],
    ]


def plant(root: Path, kind: str) -> Path | None:
    """Break one thing; give the file that must be named."""
    train, query, gallery = (root / name for name in ("bounding_box_train", "query", "bounding_box_test"))
    victim = gallery / "0000_c1_11.jpg"
    if kind == "empty":
        victim.write_bytes(b"")
    elif kind == "truncated":
        victim.write_bytes(victim.read_bytes()[:-40])
    elif kind == "no image":
        victim.write_text("<html>404</html>")
    elif kind == "small":
        picture(victim, (16, 7))
    elif kind == "name":
        victim = picture(gallery / "someone.jpg")
    elif kind == "missing":
        victim = gallery / "0044_c1_0.jpg"
        victim.symlink_to(gallery / "nowhere")
    elif kind == "doubled":
        # the later one by name is the one that is named
        victim = picture(gallery / "0000_c1_11.png")
    elif kind == "junk":
        victim = picture(query / "-1_c1_0.jpg")
    elif kind == "leak":
        shutil.copy(train / "0011_c3_3.jpg", gallery / "0002_c5_0.jpg")
        victim = gallery / "0002_c5_0.jpg"
    elif kind == "copy":
        victim = query / "0001_c1_5.jpg"
        shutil.copy(victim, gallery / "0001_c3_0.jpg")
    elif kind == "shared":
        victim = picture(gallery / "0011_c1_0.jpg")
        return train / "0011_c3_3.jpg"
    return victim


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        *((kind, kind) for kind in ("empty", "small", "name", "missing", "doubled", "junk", "leak", "copy", "shared")),
        ("truncated", "unreadable"),
        ("no image", "unreadable"),
    ],
)
def test_each_fault_is_found_once_and_by_its_file(own, kind, found):
    victim = plant(own, kind)
    check = check_reid(own)
    assert [(kind, path) for kind, path, _ in check.problems] == [(found, str(victim))]
    assert not check.ok
    assert check.lines()[-1] == "1 problem"
    assert f"{KINDS[found]}: 1" in check.lines()
    assert json.loads(json.dumps(check.plain()))["problems"][0]["path"] == str(victim)


def test_pixels_are_left_alone_where_that_is_asked_for(own):
    plant(own, "truncated")
    plant(own, "leak")
    assert kinds(own, decode=False) == ["leak"]
    assert kinds(own) == ["leak", "unreadable"]


def test_a_copy_that_scoring_drops_is_no_problem(own):
    """The same person by the same camera is dropped before ranking, and so is junk."""
    source = own / "query" / "0001_c1_5.jpg"
    for name in ("0001_c1_99.jpg", "-1_c9_99.jpg"):
        shutil.copy(source, own / "bounding_box_test" / name)
    assert check_reid(own).ok


def test_faults_of_a_whole_set_are_problems_and_no_error(own, tmp_path):
    for path in (own / "query").iterdir():
        path.unlink()
    assert kinds(own) == ["part"]
    for path in (own / "bounding_box_train").iterdir():
        if not path.name.startswith("0010"):
            path.unlink()
    picture(own / "query" / "0001_c2_0.jpg")
    assert kinds(own) == ["persons", "queries"]
    for place, layout in ((tmp_path / "nowhere", "auto"), (own, "msmt17"), (own, "mars")):
        check = check_reid(place, layout)
        assert [kind for kind, _, _ in check.problems] == ["layout"]
        assert (check.lines()[-1], check.plain()["ok"]) == ("1 problem", False)


def test_published_counts_stand_beside_the_found_ones(own, tmp_path):
    root = own.rename(tmp_path / "Market-1501-v15.09.15")
    check = check_reid(root)
    assert check.published["gallery"] == {
        "images": (7, 19732), "junk": (2, 3819), "distractors": (3, 2798), "cameras": (4, 6),
    }  # fmt: skip
    assert check.published["train"] == {"images": (4, 12936), "ids": (3, 751), "cameras": (3, 6)}
    assert {kind for kind, _, _ in check.problems} == {"published"}
    assert "published counts: 0 of 10 agree" in check.lines()
    assert any("gallery: 7 images, published 19,732" in line for line in check.lines())
    assert check.plain()["published"]["query"]["images"] == {"found": 2, "published": 3368}
    assert check_reid(root, "market").ok  # the caller says that it is data of their own


def test_a_set_of_the_published_size_agrees_with_it(tmp_path):
    """The counts of CUHK03-np detected, of files that are listed alone: 14,097 in all."""
    root = tmp_path / "cuhk03-np" / "detected"
    sizes = {"bounding_box_train": (7365, 767, 1), "query": (1400, 700, 1001), "bounding_box_test": (5332, 700, 1001)}
    for part, (images, ids, first) in sizes.items():
        (root / part).mkdir(parents=True)
        for n in range(images):
            # each person's images alternate between the cameras; queries take both, so that each has a right one
            (root / part / f"{first + n % ids:04d}_c{1 + (n // ids) % 2}_{n}.png").write_bytes(f"{part}{n}".encode())
    check = check_reid(root, decode=False)
    assert check.ok, check.lines()
    assert all(found == expected for row in check.published.values() for found, expected in row.values())
    next((root / "query").iterdir()).unlink()
    assert "published" in kinds(root, decode=False)


def test_msmt17_ids_of_training_and_test_are_different_people(tmp_path):
    root = tmp_path / "lists"
    lists = {"train": ("train", ["0000/0000_0_01_a.jpg 0", "0001/0001_0_02_a.jpg 1"])}
    lists["query"] = ("test", ["0000/0000_1_01_b.jpg 0"])
    lists["gallery"] = ("test", ["0000/0000_2_02_b.jpg 0", "0001/0001_2_03_b.jpg 1"])
    for name, (folder, lines) in lists.items():
        for line in lines:
            picture(root / folder / line.split(" ")[0])
        (root / f"list_{name}.txt").write_text("\n".join(lines))
    check = check_reid(root)
    assert (check.problems, check.layout, check.published) == ([], "msmt17", {})
    assert [row["ids"] for row in check.counts.values()] == [2, 1, 2]  # person 0 is no distractor here
    assert check.notes == ("no list_val.txt: the part train lacks its images",)


def test_problems_are_grouped_with_five_examples_each(own):
    for n in range(7):
        picture(own / "query" / f"odd{n}.jpg")
    (own / "bounding_box_test" / "0000_c1_11.jpg").write_bytes(b"")
    lines = check_reid(own).lines()
    start = lines.index(f"{KINDS['name']}: 7")
    assert [line.startswith("  ") for line in lines[start + 1 : start + 7]] == [True] * 6
    assert lines[start + 6] == "  and 2 more"
    assert f"{KINDS['empty']}: 1" in lines
    assert lines[-1] == "8 problems"
