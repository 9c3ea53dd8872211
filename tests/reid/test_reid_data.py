"""Re-identification data: tiny sets of every layout, whose rows are known because the test wrote them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from featmask.errors import FeatmaskError, MissingExtraError
from featmask.reid.data import Part, ReidSet, read_reid

image = pytest.importorskip("PIL.Image")
MARKET = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (16, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *path.name.encode()]).integers(0, 256, (*size, 3), dtype=np.uint8)
    image.fromarray(pixels).save(path)
    return path


#: part -> the truth (name, person, camera), in the order of names.
PLANTED = {
    "train": [("0002_c1s1_000451_03.jpg", 2, 1), ("0002_c2s1_0.png", 2, 2), ("0007_c12s3_1.JPEG", 7, 12)],
    "query": [("0001_c1s1_001051_00.jpg", 1, 1), ("0003_c12_7.jpg", 3, 12)],
    "gallery": [
        ("-1_c3s1_000401_03.jpg", -1, 3),
        ("0000_c4s1_000151_01.jpg", 0, 4),
        ("0001_c2s1_002000_01.webp", 1, 2),
        ("0003_c6s1_002000_01.jpg", 3, 6),
    ],
}


def market(root: Path, planted=PLANTED) -> Path:
    for part, rows in planted.items():
        for name, _, _ in rows:
            picture(root / MARKET[part] / name)
    return root


def rows(part: Part) -> list[tuple[str, int, int]]:
    assert part.pids.dtype == part.cams.dtype == np.int64
    return [(p.name, i, c) for p, i, c in zip(part.paths, part.pids.tolist(), part.cams.tolist(), strict=True)]


def parts(found: ReidSet) -> dict[str, list[tuple[str, int, int]]]:
    out = {"train": found.train, "query": found.query, "gallery": found.gallery}
    assert all(path.is_file() for part in out.values() for path in part.paths)
    return {name: sorted(rows(part)) for name, part in out.items()}


def planted(rows=PLANTED):
    return {part: sorted(values) for part, values in rows.items()}


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Market-1501-v15.09.15", "market1501"), ("DukeMTMC-reID", "dukemtmc"), ("shop", "market")],
)
def test_the_market_layout_gives_the_planted_rows_from_its_root_and_from_above(tmp_path, folder, name):
    # a person and a camera in the path must not be read for those of the file
    above = tmp_path / "0099_c9_data"
    root = market(above / folder)
    (root / "bounding_box_test" / "Thumbs.db").write_bytes(b"x")
    (root / "bounding_box_test" / "._0001_c1_0.jpg").write_bytes(b"x")
    (root / "bounding_box_train" / "0001_c1.jpg").mkdir()
    for place in (root, above):
        found = read_reid(place)
        assert (found.name, found.root, found.has_cameras) == (name, root, True)
        assert parts(found) == planted()
    assert parts(read_reid(root, "market")) == parts(read_reid(str(root), name)) == planted()
    assert any("withdrawn" in note for note in found.notes) == (name == "dukemtmc")


def test_take_chooses_rows_by_position_and_by_mask(tmp_path):
    gallery = read_reid(market(tmp_path / "own")).gallery
    truth = PLANTED["gallery"]
    assert len(gallery) == 4
    assert rows(gallery.take([3, 0])) == [truth[3], truth[0]]
    assert rows(gallery.take(gallery.pids > 0)) == truth[2:]
    assert rows(gallery.take([])) == []
    with pytest.raises(FeatmaskError, match="as many persons and cameras"):
        Part(gallery.paths, gallery.pids[:2], gallery.cams)


@pytest.mark.parametrize(
    ("version", "train", "test"), [("V1", "train", "test"), ("V2", "mask_train_v2", "mask_test_v2")]
)
def test_msmt17_gives_train_and_val_together_and_the_third_field_as_camera(tmp_path, version, train, test):
    root = tmp_path / f"MSMT17_{version}"
    truth = {
        "train": [("0000_000_01_0303morning_0015_0.jpg", 0, 1), ("0001_000_15_0303noon_0015_0.jpg", 1, 15)],
        "val": [("0001_001_02_0303noon_0016_1.jpg", 1, 2)],
        "query": [("0000_007_03_0113afternoon_0001_2.jpg", 0, 3)],
        "gallery": [("0000_008_11_0113afternoon_0001_2.jpg", 0, 11), ("0002_008_04_0113noon_0001_2.jpg", 2, 4)],
    }
    for name, values in truth.items():
        folder = train if name in ("train", "val") else test
        lines = []
        for file, pid, _ in values:
            picture(root / folder / f"{pid:04d}" / file)
            lines.append(f"{pid:04d}/{file} {pid}\n")
        (root / f"list_{name}.txt").write_text("".join(lines))
    found = read_reid(tmp_path)
    assert found.name == "msmt17"
    truth["train"] += truth.pop("val")
    assert parts(found) == planted(truth)

    with open(root / "list_train.txt", "a") as listing:
        listing.write("0001/0001_009_15_0303noon_0015_0.jpg 1\n0001/odd.jpg 1\nnonsense\n")
        listing.write("0000/0000_000_01_0303morning_0015_0.jpg 0\n")
    with pytest.raises(FeatmaskError) as error:
        read_reid(root, "msmt17")
    text = str(error.value)
    assert "has 4 fault(s)" in text
    assert "0001_009_15_0303noon_0015_0.jpg: named, but there is no such file" in text
    assert "odd.jpg: expected the camera" in text
    assert "line 5: expected 'path person'" in text
    assert "0000_000_01_0303morning_0015_0.jpg: named in train and again in train" in text


@pytest.mark.parametrize("form", ["train_all", "train and val"])
def test_layumi_folders_are_persons(tmp_path, form):
    home = tmp_path / "Market" / "pytorch"
    for part, values in PLANTED.items():
        for position, (name, _, _) in enumerate(values):
            folder = part
            if part == "train":
                folder = "train_all" if form == "train_all" else ("val" if position == 0 else "train")
            picture(home / folder / name.split("_")[0] / name)
    if form == "train_all":  # train repeats what train_all has, and must not count twice
        picture(home / "train" / "0002" / PLANTED["train"][0][0])
    for place in (home, home.parent, tmp_path):
        found = read_reid(place)
        assert (found.name, found.root) == ("layumi", home)
        assert parts(found) == planted()
    picture(home / "query" / "0003" / "0001_c5_1.jpg")
    picture(home / "query" / "someone" / "0001_c5_2.jpg")
    picture(home / "query" / "0001" / "0003_c12_7.jpg")
    with pytest.raises(FeatmaskError) as error:
        read_reid(home)
    for words in ("says person 1, its folder says 3", "someone: expected a folder named", "keep one of them"):
        assert words in str(error.value)


def table(root: Path, lines: list[str], header: str = "path,pid,camid,split") -> Path:
    path = root / "images.csv"
    root.mkdir(exist_ok=True)
    for line in lines:
        picture(root / line.split(",")[0])
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_a_table_numbers_people_in_sorted_order_over_all_parts(tmp_path):
    lines = ["a/1.png,zoe,4,train", "a/2.png,bob,12,train", "b/3.png,eve,4,query"]
    path = table(tmp_path / "own", [*lines, "b/4.png,eve,7,gallery", "b/5.png,-1,7,gallery", "b/6.png,zoe2,7,gallery"])
    for place in (path, path.parent, tmp_path):
        found = read_reid(place)
        assert (found.name, found.root, found.has_cameras, found.notes) == ("csv", path, True, ())
        # bob 1, eve 2, zoe 3, zoe2 4
        assert parts(found) == {
            "train": [("1.png", 3, 4), ("2.png", 1, 12)],
            "query": [("3.png", 2, 4)],
            "gallery": [("4.png", 2, 7), ("5.png", -1, 7), ("6.png", 4, 7)],
        }


def test_cameras_of_a_table_may_have_names(tmp_path):
    lines = ["1.png,a,door,train", "2.png,b,yard,train", "3.png,c,door,query", "4.png,c,7,gallery"]
    found = read_reid(table(tmp_path, lines))
    assert [found.train.cams.tolist(), found.query.cams.tolist(), found.gallery.cams.tolist()] == [[2, 3], [2], [1]]


def test_without_cameras_nothing_can_be_dropped_and_a_note_says_so(tmp_path):
    lines = ["1.png,a,train", "2.png,b,train", "3.png,c,query", "4.png,c,gallery", "5.png,d,gallery"]
    path = table(tmp_path, lines, "path,pid,split")
    found = read_reid(path)
    assert not found.has_cameras
    assert "no camera ids" in found.notes[0]
    assert not set(found.query.cams.tolist()) & set(found.gallery.cams.tolist())
    path.write_text(path.read_text() + "3.png,c,gallery\n")
    with pytest.raises(FeatmaskError, match=r"3\.png: named in query and again in gallery"):
        read_reid(path)


def test_a_query_may_lie_in_the_gallery_where_scoring_drops_it(tmp_path):
    lines = ["1.png,a,1,train", "2.png,b,1,train"]
    lines += [f"{n}.png,c,{n},{split}" for n in (3, 4) for split in ("query", "gallery")]
    path = table(tmp_path, lines)
    assert parts(read_reid(path))["query"] == parts(read_reid(path))["gallery"] == [("3.png", 3, 3), ("4.png", 3, 4)]
    path.write_text(path.read_text() + "3.png,c,3,gallery\n1.png,c,1,gallery\n")
    with pytest.raises(FeatmaskError, match=r"has 2 fault\(s\)") as error:
        read_reid(path)
    assert "1.png: named in train and again in gallery" in str(error.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("9.png,a,1,test", "line 6: expected split train, query or gallery, got 'test'"),
        ("9.png,,1,train", r"line 6: nothing in the column\(s\) pid"),
        ("9.png,a,,train", r"line 6: nothing in the column\(s\) camid"),
        ("9.png,a", r"line 6: nothing in the column\(s\) split, camid"),
        ("gone.png,a,1,train", "gone.png: named, but there is no such file"),
        ("folder.png,a,1,train", "folder.png: named, but there is no such file"),
        ("zero\0.png,a,1,train", "named, but there is no such file|no CSV that can be read"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, line, words):
    path = table(tmp_path, ["1.png,a,1,train", "2.png,b,1,train", "3.png,c,1,query", "4.png,c,2,gallery"])
    (tmp_path / "folder.png").mkdir()
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(FeatmaskError, match=words):
        read_reid(path)


def test_a_table_needs_its_columns(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("file,pid,split\n")
    with pytest.raises(FeatmaskError, match=r"expected the columns path, pid, camid .* got \['file', 'pid', 'split'\]"):
        read_reid(path)


def test_faults_of_the_market_layout_are_all_named_up_to_ten(tmp_path):
    root = market(tmp_path / "own")
    train = root / "bounding_box_train"
    (train / "0002_c3s1_0.jpg").write_bytes(b"")
    picture(train / "0002_c2s1_0.jpg")  # 0002_c2s1_0.png is there
    (train / "0050_c1_0.jpg").symlink_to(root / "nowhere.jpg")
    for name in ("person_0001_c1.jpg", "0001.jpg", "-2_c1.jpg", "0001_C1.jpg", "1-2_c1.jpg"):
        picture(train / name)
    with pytest.raises(FeatmaskError) as error:
        read_reid(root)
    text = str(error.value)
    assert "has 8 fault(s)" in text
    assert "0002_c3s1_0.jpg: 0 bytes" in text
    assert "0002_c2s1_0.png: the same name as 0002_c2s1_0.jpg" in text
    assert "0050_c1_0.jpg: named, but there is no such file" in text
    assert text.count("expected PERSON_cCAMERA") == 5
    for number in range(5):
        picture(root / "query" / f"odd{number}.jpg")
    with pytest.raises(FeatmaskError, match=r"has 13 fault\(s\)(?s:.*)and 3 more$") as error:
        read_reid(root)
    assert len(str(error.value).splitlines()) == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query": []}, "the part query has no images"),
        ({"train": [("0002_c1_1.jpg", 2, 1)]}, r"train shows 1 person\(s\)"),
        (
            {"query": [("0001_c2_1.jpg", 1, 2), ("0003_c6_1.jpg", 3, 6)]},
            "no query has a right gallery image by another",
        ),
        ({"query": [("0098_c2_1.jpg", 98, 2)]}, "no query has a right gallery image by another"),
        (
            {"query": [*PLANTED["query"], ("-1_c1_1.jpg", -1, 1)]},
            "person -1 is junk: expected in the gallery, not in query",
        ),
        (
            {"train": [*PLANTED["train"], ("-1_c1_1.jpg", -1, 1)]},
            "person -1 is junk: expected in the gallery, not in train",
        ),
    ],
)
def test_a_set_that_cannot_be_used_is_refused(tmp_path, change, words):
    root = market(tmp_path / "own", {**PLANTED, **change})
    (root / "query").mkdir(exist_ok=True)
    with pytest.raises(FeatmaskError, match=words):
        read_reid(root)


def test_a_query_without_its_person_in_the_gallery_is_noted(tmp_path):
    root = market(tmp_path / "own", {**PLANTED, "query": [*PLANTED["query"], ("0098_c1_1.jpg", 98, 1)]})
    (note,) = read_reid(root).notes
    assert note.startswith("1 of 3 queries show a person that is not in the gallery")


@pytest.mark.parametrize("layout", ["market", "csv", "layumi"])
def test_rendered_pictures_say_so(tmp_path, layout):
    if layout == "csv":
        root = tmp_path
        read = table(root, ["1.png,a,1,train", "2.png,b,1,train", "3.png,c,1,query", "4.png,c,2,gallery"])
    elif layout == "market":
        read = root = market(tmp_path / "own")
    else:
        read = root = tmp_path / "own"
        for part, folder in (("train", "train_all"), ("query", "query"), ("gallery", "gallery")):
            for name, _, _ in PLANTED[part]:
                picture(root / "pytorch" / folder / name.split("_")[0] / name)
    assert read_reid(read).notes == ()
    (root / "RENDERED.json").write_text("{}")
    assert read_reid(read).notes == ("rendered pictures, not photographs",)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FeatmaskError, match="no folder"):
        read_reid(tmp_path / "nowhere")
    with pytest.raises(FeatmaskError, match="expected a layout out of auto, market1501"):
        read_reid(tmp_path, "mars")
    with pytest.raises(FeatmaskError, match=r"looked for(?s:.*)msmt17: list_"):
        read_reid(tmp_path)
    market(tmp_path / "one")
    with pytest.raises(FeatmaskError, match="no data set"):
        read_reid(tmp_path, "msmt17")
    market(tmp_path / "two")
    with pytest.raises(FeatmaskError, match="holds 2 data sets"):
        read_reid(tmp_path)
    for path in (tmp_path / "two" / "query").iterdir():
        path.unlink()
    (tmp_path / "two" / "query").rmdir()
    with pytest.raises(FeatmaskError, match="bounding_box_train, bounding_box_test is there, but not query"):
        read_reid(tmp_path / "two")


def test_one_of_several_sets_is_found_by_its_layout(tmp_path):
    for name in ("Market-1501-v15.09.15", "DukeMTMC-reID"):
        market(tmp_path / name)
    assert read_reid(tmp_path, "dukemtmc").root.name == "DukeMTMC-reID"
    assert read_reid(tmp_path, "market1501").root.name == "Market-1501-v15.09.15"


def test_cuhk03_folders_are_two_variants(tmp_path):
    root = tmp_path / "cuhk03-np"
    name = [("0001_c1_1.png", 1, 1), ("0002_c2_1.png", 2, 2)]
    truth = {"train": name, "query": [("0005_c1_2.png", 5, 1)], "gallery": [("0005_c2_3.png", 5, 2)]}
    market(root / "detected", truth)
    market(root / "labeled", {**truth, "train": [*name, ("0003_c1_1.png", 3, 1)]})
    for place, layout, size in (
        (tmp_path, "auto", 2),
        (root, "cuhk03np-detected", 2),
        (root, "cuhk03np-labeled", 3),
        (root / "labeled", "auto", 3),
        (root / "labeled", "cuhk03np", 3),
    ):
        found = read_reid(place, layout)
        assert (found.name, len(found.train)) == ("cuhk03np", size)
    assert parts(read_reid(root)) == truth
    assert any("both there" in note for note in read_reid(root).notes)


def matlab_pair(root: Path) -> dict[str, np.ndarray]:
    """Two pairs of cameras with three people each, in the two files' own forms; name -> pixels of what is used."""
    h5py = pytest.importorskip("h5py")
    scipy_io = pytest.importorskip("scipy.io")
    root.mkdir(parents=True)
    rng = np.random.default_rng(5)
    pixels, names, pids = {}, [], []
    with h5py.File(root / "cuhk-03.mat", "w") as file:
        pairs = []
        for pair in (1, 2):
            cells = np.empty((10, 3), dtype=h5py.ref_dtype)  # MATLAB's 3 x 10, axes reversed
            for person in range(3):
                for place in range(10):
                    if place in (0, 2, 6):  # the first camera fills places 1 to 5, the second 6 to 10
                        array = rng.integers(0, 256, (12 + person, 9, 3), dtype=np.uint8)
                        data = file.create_dataset(f"images/{pair}_{person}_{place}", data=array.T)
                        name = f"{pair}_{person + 1:03d}_{1 if place < 5 else 2}_{place + 1:02d}.png"
                        pixels[name] = array
                        names.append(name)
                        pids.append(3 * (pair - 1) + person + 1)
                    else:
                        data = file.create_dataset(f"images/{pair}_{person}_{place}", data=np.zeros(2, np.uint64))
                    cells[place, person] = data.ref
            pairs.append(file.create_dataset(f"cells/{pair}", data=cells, dtype=h5py.ref_dtype).ref)
        file.create_dataset("labeled", data=np.array([pairs], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
    listed = np.empty((len(names), 1), dtype=object)
    listed[:, 0] = names
    pids = np.array(pids)
    place = np.array([int(name[8:10]) for name in names])
    scipy_io.savemat(
        root / "cuhk03_new_protocol_config_labeled.mat",
        {
            "filelist": listed,
            "labels": pids[:, None],
            "train_idx": 1 + np.flatnonzero(pids <= 4)[:, None],
            "query_idx": 1 + np.flatnonzero((pids > 4) & (place == 1))[:, None],
            "gallery_idx": 1 + np.flatnonzero((pids > 4) & (place != 1))[:, None],
        },
    )
    return pixels


def test_cuhk03_is_extracted_once_from_the_matlab_files(tmp_path):
    root = tmp_path / "cuhk03"
    pixels = matlab_pair(root)
    found = read_reid(tmp_path)
    assert (found.name, found.root) == ("cuhk03np", root / "featmask_labeled")
    assert [len(found.train), len(found.query), len(found.gallery)] == [12, 2, 4]
    for part in (found.train, found.query, found.gallery):
        for path, pid, cam in zip(part.paths, part.pids.tolist(), part.cams.tolist(), strict=True):
            name = path.name.split("_", 2)[2]
            pair, person, camera, _ = map(int, name.removesuffix(".png").split("_"))
            assert (pid, cam) == (3 * (pair - 1) + person, camera)
            assert np.array_equal(np.asarray(image.open(path)), pixels[name])
    assert sorted({*found.query.pids.tolist()}) == [5, 6]
    assert set(found.gallery.cams.tolist()) == {1, 2}
    assert sorted(path.name for path in root.iterdir() if path.is_dir()) == ["featmask_labeled"]
    (root / "cuhk-03.mat").write_bytes(b"not read again")
    assert parts(read_reid(root, "cuhk03np-labeled")) == parts(found)


def test_damaged_matlab_files_leave_no_folder(tmp_path):
    root = tmp_path / "cuhk03"
    matlab_pair(root)
    whole = (root / "cuhk-03.mat").read_bytes()
    (root / "cuhk-03.mat").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FeatmaskError, match="cannot extract the images"):
        read_reid(root)
    import h5py

    (root / "cuhk-03.mat").write_bytes(whole)
    with h5py.File(root / "cuhk-03.mat", "r+") as file:
        cells = file[file["labeled"][0, 1]]
        cells[0, 2] = cells[1, 2]  # the last person's first image, a query, becomes an empty cell
    with pytest.raises(FeatmaskError, match=r"names 2_003_1_01\.png, but cuhk-03\.mat has no image there"):
        read_reid(root)
    assert not [path for path in root.iterdir() if path.is_dir()]


def test_without_h5py_the_extraction_says_so(tmp_path, monkeypatch):
    root = tmp_path / "cuhk03"
    root.mkdir()
    for name in ("cuhk-03.mat", "cuhk03_new_protocol_config_detected.mat"):
        (root / name).write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match="h5py"):
        read_reid(root)
