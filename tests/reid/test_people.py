"""People: pixels as torchvision gives them, augmentation against naive forms, persons held out and never images."""

from __future__ import annotations

import colorsys
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from featmask.data import Augment, Photos
from featmask.data.photos import stretch
from featmask.data.pixels import FilePixels, LatePixels, read_pixels
from featmask.errors import FeatmaskError
from featmask.reid.people import load_people

image = pytest.importorskip("PIL.Image")
stats = pytest.importorskip("scipy.stats")
pytest.importorskip("torchvision")

#: Every statistical bound here fails by chance, over seeds, once in a million.
RARE = 1e-6
MEAN = (0.4, 0.2, 0.6)
FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
#: person -> camera -> images. 2 to 13 are searchable; 20 has one camera, 21 and 22 one camera with a second image.
TRAIN = {pid: {1: 3, 2: 2, **({12: 1} if pid % 2 else {})} for pid in range(2, 14)} | {
    20: {1: 4},
    21: {1: 3, 2: 1},
    22: {1: 1, 2: 1},
}


def probable(hits: int, count: int, share: float) -> bool:
    return stats.binomtest(hits, count, share).pvalue > RARE


def noise(count: int = 1, height: int = 9, width: int = 7) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)


def photos(pixels: torch.Tensor, augment: Augment | None = None, mean=MEAN) -> Photos:
    return Photos(pixels, np.arange(len(pixels)), augment, mean)


def rectangle(mask: torch.Tensor) -> tuple[int, int, int, int]:
    """Top, left, height and width of a mask that is a full rectangle."""
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    top, left, tall, wide = int(rows[0]), int(columns[0]), len(rows), len(columns)
    assert mask[top : top + tall, left : left + wide].all()
    assert int(mask.sum()) == tall * wide
    return top, left, tall, wide


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([*path.name.encode()]).integers(0, 256, (12, 8, 3), dtype=np.uint8)
    image.fromarray(pixels).save(path)


@pytest.fixture
def market(tmp_path: Path) -> Path:
    for pid, cameras in TRAIN.items():
        for camera, shots in cameras.items():
            for shot in range(shots):
                picture(tmp_path / FOLDERS["train"] / f"{pid:04d}_c{camera}s1_{shot:06d}_01.png")
    for name in ("0001_c1s1_000001_01", "0003_c2s1_000001_01"):
        picture(tmp_path / FOLDERS["query"] / f"{name}.png")
    for name in ("0001_c2s1_000001_01", "0003_c1s1_000001_01", "0000_c1s1_000001_01", "-1_c1s1_000001_01"):
        picture(tmp_path / FOLDERS["gallery"] / f"{name}.png")
    return tmp_path


def load(root: Path, **options):
    return load_people(root=root, **{"height": 16, "width": 8, **options})


def truth(path: Path) -> tuple[int, int]:
    person, camera = path.name.split("_")[:2]
    return int(person), int(camera[1:].partition("s")[0])


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
@pytest.mark.parametrize(("height", "width"), [(32, 16), (17, 40), (60, 30), (7, 5)])
def test_stretch_is_torchvisions_resize(tmp_path, mode, height, width):
    from torchvision import transforms

    rng = np.random.default_rng(0)
    drawn = image.fromarray(rng.integers(0, 256, (60, 30, 3), dtype=np.uint8)).convert(mode)
    drawn.save(tmp_path / "x.png")
    resize = transforms.Resize((height, width), interpolation=transforms.InterpolationMode.BICUBIC)
    expected = transforms.PILToTensor()(resize(image.open(tmp_path / "x.png").convert("RGB")))
    assert torch.equal(stretch(tmp_path / "x.png", height, width), expected)


def test_reading_keeps_the_order_and_large_sets_stay_on_disk(tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.png" for i in range(40)]
    for path in paths:
        picture(path)
    read = lambda path: stretch(path, 5, 4)  # noqa: E731
    kept = read_pixels(paths, read, (3, 5, 4))
    assert isinstance(kept, torch.Tensor)
    assert all(torch.equal(kept[i], read(path)) for i, path in enumerate(paths))
    monkeypatch.setattr("featmask.data.pixels.KEEP_BYTES", 40 * 3 * 5 * 4)
    assert isinstance(read_pixels(paths, read, (3, 5, 4)), torch.Tensor)
    monkeypatch.setattr("featmask.data.pixels.KEEP_BYTES", 40 * 3 * 5 * 4 - 1)
    lazy = read_pixels(paths, read, (3, 5, 4))
    assert isinstance(lazy, FilePixels)
    assert len(lazy) == 40
    assert all(torch.equal(kept[i], lazy[i]) for i in range(40))


def test_broken_images_are_all_counted_and_ten_are_named(tmp_path):
    paths = [tmp_path / f"{i:02d}.png" for i in range(15)]
    for path in paths:
        path.write_bytes(b"no image")
    picture(paths[3])
    with pytest.raises(FeatmaskError, match="14 of 15") as error:
        read_pixels(paths, lambda path: stretch(path, 5, 4), (3, 5, 4))
    assert sum(path.name in str(error.value) for path in paths) == 10
    assert "and 4 more" in str(error.value)


def test_a_mistake_that_is_no_files_fault_is_not_listed_for_every_file(tmp_path):
    def read(path):
        raise FeatmaskError("install something")

    with pytest.raises(FeatmaskError, match=r"^install something$"):
        read_pixels([tmp_path] * 5, read, (3, 5, 4))
    with pytest.raises(FeatmaskError, match=r"^install something$"):
        FilePixels([tmp_path], read)[0]


def test_pixels_are_read_once_and_by_a_worker_one_by_one(monkeypatch):
    seen = []

    def read(path):
        seen.append(path.name)
        return torch.full((3, 2, 2), int(path.name), dtype=torch.uint8)

    paths = [Path(str(i)) for i in range(6)]
    late = LatePixels(paths, read, (3, 2, 2))
    assert len(late) == 6
    monkeypatch.setattr("featmask.data.pixels.get_worker_info", object)
    assert int(late[4][0, 0, 0]) == 4
    assert seen == ["4"]
    monkeypatch.undo()
    plain = Photos(late, np.arange(6))
    flipped = plain.with_augment(Augment(flip=1.0))
    assert seen == ["4"]
    assert [int(plain[i].image[0, 0, 0] * 255 + 0.5) for i in (5, 0)] == [5, 0]
    assert len(flipped.load()) == len(plain.load()) == 6
    assert flipped[3].image.max() == plain[3].image.max()
    assert Counter(seen) == Counter([str(i) for i in range(6)] + ["4"])


def test_an_item_is_what_the_training_loop_unpacks_and_the_pixels_stay():
    pixels = noise(8)
    before = pixels.clone()
    every = photos(pixels, Augment(flip=1.0, pad=2, jitter=0.5, erasing=1.0, grey_patch=1.0))
    for data in (photos(pixels), every):
        images, labels, weights, rows = next(iter(DataLoader(data, batch_size=8)))
        assert (images.shape, images.dtype) == ((8, 3, 9, 7), torch.float32)
        assert images.min() >= 0
        assert images.max() <= 1
        assert labels.tolist() == rows.tolist() == list(range(8))
        assert weights.tolist() == [1.0] * 8
    assert torch.equal(pixels, before)
    assert torch.equal(photos(pixels)[5].image, pixels[5].double().div(255).float())
    assert torch.equal(every.uint8(5), pixels[5])


@pytest.mark.parametrize(("height", "width", "pad"), [(9, 7, 2), (3, 2, 3), (2, 2, 4)])
def test_a_shift_is_a_crop_of_the_padded_image_at_a_uniform_place(height, width, pad):
    pixels = noise(1, height, width) | 1  # no zeros of its own
    data, side = photos(pixels, Augment(flip=0.0, pad=pad)), 2 * pad + 1
    padded = functional.pad(pixels[0], (pad,) * 4)
    places = {}
    for top in range(side):
        for left in range(side):
            crop = padded[:, top : top + height, left : left + width]
            places.setdefault(crop.numpy().tobytes(), []).append((top, left))
    counts = Counter((data[0].image * 255).round().byte().numpy().tobytes() for _ in range(120 * side**2))
    assert set(counts) <= set(places)
    # crops beyond the image are all black: as likely as there are such places
    expected = [120 * len(at) for at in places.values()]
    assert stats.chisquare([counts[key] for key in places], expected).pvalue > RARE


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_flips_come_as_often_as_asked(share):
    pixels = noise()
    data, plain = photos(pixels, Augment(flip=share)), pixels[0] / 255
    flips = 0
    for _ in range(3000):
        shown = data[0].image
        flipped = torch.equal(shown, plain.flip(2))
        assert flipped or torch.equal(shown, plain)
        flips += flipped
    assert flips == 3000 * share if share in (0, 1) else probable(flips, 3000, share)


def naive_sides(rng: np.random.Generator, height: int, width: int) -> tuple[int, int]:
    """Random erasing as its paper's algorithm 1 has it: draw until the rectangle fits."""
    while True:
        area, aspect = rng.uniform(0.02, 0.4) * height * width, rng.uniform(0.3, 1 / 0.3)
        tall, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if tall < height and wide < width:
            return tall, wide


def test_erased_rectangles_are_the_papers_and_of_the_mean_colour():
    height, width, count = 64, 32, 4000
    black = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    data, colour = photos(black, Augment(flip=0.0, erasing=0.4)), torch.tensor(MEAN)
    sides, downs, rights = [], [], []
    for _ in range(count):
        shown = data[0].image
        mask = shown.any(0)
        if not mask.any():
            continue
        assert torch.equal(shown[:, mask], colour[:, None].expand(3, int(mask.sum())))
        top, left, tall, wide = rectangle(mask)
        sides.append((tall, wide))
        downs.append(top / (height - tall))
        rights.append(left / (width - wide))
    assert probable(len(sides), count, 0.4)
    rng = np.random.default_rng(0)
    seen, expected = np.array(sides), np.array([naive_sides(rng, height, width) for _ in range(20_000)])
    assert stats.ks_2samp(seen.prod(1), expected.prod(1)).pvalue > RARE
    assert stats.ks_2samp(seen[:, 0] / seen[:, 1], expected[:, 0] / expected[:, 1]).pvalue > RARE
    shares = seen.prod(1) / (height * width)
    assert min(shares) > 0.015
    assert max(shares) < 0.42
    for places in (downs, rights):  # uniform from 0 to 1: a mean of 1/2
        assert stats.ttest_1samp(places, 0.5).pvalue > RARE
        assert min(places) == 0
        assert max(places) == 1


def test_grey_patches_come_as_often_as_asked_and_are_luma():
    pixels = torch.zeros(1, 3, 32, 16, dtype=torch.uint8)
    pixels[:, 0] = 200  # red
    data, plain = photos(pixels, Augment(flip=0.0, grey_patch=0.3)), pixels[0] / 255
    greyed = 0
    for _ in range(2000):
        shown = data[0].image
        mask = (shown != plain).any(0)
        if mask.any():
            greyed += 1
            rectangle(mask)
            assert torch.allclose(shown[:, mask], torch.tensor(0.299 * 200 / 255), atol=1e-6)
    assert probable(greyed, 2000, 0.3)


def test_jitter_has_the_strengths_that_are_promised():
    grey = photos(torch.full((1, 3, 4, 4), 100, dtype=torch.uint8), Augment(flip=0.0, jitter=0.4))
    levels = [float(grey[0].image.mean()) * 255 for _ in range(400)]
    # of a grey image only the brightness changes, by 60 to 140 %; 60 to 65 is missed with 0.9375 ** 400 < RARE
    # (each of the four steps ends in 8 bits, and takes at most one level)
    assert 55.9 < min(levels) < 65
    assert 135 < max(levels) < 140.1
    red = torch.tensor([120, 40, 40], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 4, 4).contiguous()
    data = photos(red, Augment(flip=0.0, jitter=0.4))
    hues = [colorsys.rgb_to_hsv(*data[0].image[:, 0, 0].tolist())[0] for _ in range(400)]
    turns = [hue - (hue > 0.5) for hue in hues]
    # 0.4 / 4 of the circle, but for the rounding to 8 bits; a side's outer 7.5 % is missed with 0.925 ** 400 < RARE
    assert -0.115 < min(turns) < -0.085
    assert 0.085 < max(turns) < 0.115


def test_the_order_is_crop_flip_jitter_grey_erase():
    pixels = noise(1, 20, 12) | 1
    data = photos(pixels, Augment(flip=1.0, pad=1, jitter=0.3, grey_patch=1.0, erasing=1.0))
    padded = functional.pad(pixels[0], (1, 1, 1, 1))
    crops = [padded[:, y : y + 20, x : x + 12].flip(2) for y in range(3) for x in range(3)]
    green = torch.zeros(3, 20, 12, dtype=torch.uint8)
    green[1] = 250
    seen = []

    def spy(given):
        seen.append(given.clone())
        return green

    data._jitter = spy
    greyed = 0
    for _ in range(100):
        shown = data[0].image
        assert seen[-1].dtype == torch.uint8
        assert any(torch.equal(seen[-1], crop) for crop in crops)
        erased = (shown == torch.tensor(MEAN)[:, None, None]).all(0)
        rectangle(erased)  # a later grey patch would cut a part of it out
        greyed += bool(((shown[0] == shown[1]) & ~erased).any())
        assert torch.equal(
            shown[:, ~erased & (shown[0] != shown[1])].unique(dim=1), torch.tensor([[0], [250 / 255], [0]])
        )
    assert greyed > 50
    assert len(seen) == 100


def test_a_seed_gives_the_same_bits_again():
    data = photos(noise(4, 24, 12), Augment(flip=0.5, pad=3, jitter=0.3, erasing=0.5, grey_patch=0.5))

    def epoch(seed):
        torch.manual_seed(seed)
        return torch.stack([data[i % 4].image for i in range(40)])

    first = epoch(0)
    np.random.default_rng(1).random()
    assert torch.equal(first, epoch(0))
    assert not torch.equal(first, epoch(1))


def test_statistics_are_of_the_plain_images_and_draw_nothing():
    pixels = noise(30)
    data = photos(pixels, Augment(pad=3, erasing=1.0))
    before = torch.get_rng_state()
    mean, std = data.statistics()
    assert torch.equal(torch.get_rng_state(), before)
    values = pixels.double().div(255).transpose(0, 1).flatten(1)
    assert mean == pytest.approx(values.mean(1).tolist(), rel=1e-5)
    assert std == pytest.approx(values.std(1).tolist(), rel=1e-5)
    few = pixels[::3].double().div(255).transpose(0, 1).flatten(1)
    assert data.statistics(count=10)[0] == pytest.approx(few.mean(1).tolist(), rel=1e-5)


def test_parts_are_the_files_with_labels_in_the_order_of_persons(market):
    data = load(market)
    assert (data.name, data.root, data.has_cameras, data.validation) == ("market", market, True, None)
    assert data.persons.tolist() == sorted(TRAIN)
    assert data.num_ids == len(TRAIN)
    paths = data.train.pixels.paths
    assert len(paths) == len(data.train) == sum(sum(cameras.values()) for cameras in TRAIN.values())
    for i in range(0, len(paths), 5):
        sample = data.train[i]
        assert data.persons[sample.label] == truth(paths[i])[0]
        assert torch.equal(sample.image, stretch(paths[i], 16, 8) / 255)
    for side, name in ((data.query, "query"), (data.gallery, "gallery")):
        assert set(side.paths) == set((market / FOLDERS[name]).iterdir())
        assert list(zip(side.pids.tolist(), side.cams.tolist(), strict=True)) == [truth(p) for p in side.paths]
        assert [side.photos[i].label for i in range(len(side))] == side.pids.tolist()
        assert torch.equal(side.photos.uint8(1), stretch(side.paths[1], 16, 8))
    assert sorted(data.gallery.pids.tolist()) == [-1, 0, 1, 3]


@pytest.mark.parametrize("share", [0.2, 0.4, 0.8])
def test_validation_holds_out_persons_who_can_be_searched_for(market, share):
    data = load(market, validation=share)
    query, gallery = data.validation
    held_out = set(query.pids.tolist())
    assert len(held_out) == round(share * len(TRAIN))
    assert held_out <= set(range(2, 14))
    assert held_out | set(data.persons.tolist()) == set(TRAIN)
    assert not held_out & set(data.persons.tolist())
    assert {truth(path)[0] for path in data.train.pixels.paths} == set(data.persons.tolist())
    assert set(data.train.labels.tolist()) == set(range(data.num_ids))
    # the first by name of each person and camera, and all others in the gallery
    wanted = {f"{pid:04d}_c{camera}s1_000000_01.png" for pid in held_out for camera in TRAIN[pid]}
    assert {path.name for path in query.paths} == wanted
    assert len(query) == len(wanted)
    others = {p.name for p in (market / FOLDERS["train"]).iterdir() if truth(p)[0] in held_out} - wanted
    assert sorted(path.name for path in gallery.paths) == sorted(others)
    for side in (query, gallery):
        assert [truth(path) for path in side.paths] == list(zip(side.pids.tolist(), side.cams.tolist(), strict=True))
        assert torch.equal(side.photos[1].image, stretch(side.paths[1], 16, 8) / 255)
    for pid, cam in zip(query.pids, query.cams, strict=True):
        assert ((gallery.pids == pid) & (gallery.cams != cam)).any()


def test_the_choice_of_persons_does_not_move_and_smaller_shares_are_subsets(market):
    first = load(market, validation=0.4, train_share=0.5)
    torch.manual_seed(99)
    again = load(market, validation=0.4, train_share=0.5)
    assert first.persons.tolist() == again.persons.tolist()
    assert first.validation[0].paths == again.validation[0].paths
    whole = load(market, validation=0.4)
    assert first.validation[1].paths == whole.validation[1].paths
    assert first.num_ids == round(0.5 * whole.num_ids)
    assert set(first.persons) < set(whole.persons)
    assert set(load(market, validation=0.4, train_share=0.3).persons) < set(first.persons)
    assert set(load(market, validation=0.2).validation[0].pids) < set(first.validation[0].pids)
    assert set(first.train.labels.tolist()) == set(range(first.num_ids))


def test_another_augmentation_leaves_all_else(market):
    data = load(market, validation=0.2)
    other = data.with_augment(Augment(flip=1.0))
    assert torch.equal(other.train[3].image, data.train[3].image.flip(2))
    assert other.train.pixels is data.train.pixels
    assert replace(other, train=data.train).query is data.query


def test_a_broken_training_image_disturbs_training_alone(market):
    broken = market / FOLDERS["train"] / "0020_c1s1_000002_01.png"
    broken.write_bytes(b"no image")
    data = load(market, validation=0.2)
    for side in (data.query, data.gallery, *data.validation):
        assert side.photos[0].image.shape == (3, 16, 8)
    with pytest.raises(FeatmaskError, match=r"1 of \d+ images cannot be read") as error:
        _ = data.train[0]
    assert str(broken) in str(error.value)


def test_parts_that_were_not_asked_for_are_refused(market):
    data = load(market, validation=0.2, parts=("query", "gallery"))
    assert data.gallery.photos[0].image.shape == (3, 16, 8)
    assert data.num_ids == len(TRAIN) - 3
    for unread in (data.train, data.validation[0].photos):
        with pytest.raises(FeatmaskError, match="of the part train, but only query, gallery may be read; add train"):
            _ = unread[0]


def test_without_cameras_no_image_can_be_dropped(tmp_path):
    lines = ["path,pid,split"]
    persons = {"ann": 3, "bob": 2, "cem": 1, "dan": 2, "eva": 2}
    for person, shots in persons.items():
        lines += [f"{person}{shot}.png,{person},train" for shot in range(shots)]
    lines += ["q.png,zoe,query", "g.png,zoe,gallery"]
    for line in lines[1:]:
        picture(tmp_path / line.split(",")[0])
    (tmp_path / "own.csv").write_text("\n".join(lines))
    data = load(tmp_path, name="csv", validation=0.4)
    assert not data.has_cameras
    assert any("no camera ids" in note for note in data.notes)
    query, gallery = data.validation
    assert len(set(query.pids.tolist())) == len(query) == 2
    assert set(query.pids.tolist()) == set(gallery.pids.tolist())
    assert not set(query.cams.tolist()) & set(gallery.cams.tolist())
    assert all(path.name.endswith("0.png") for path in query.paths)
    assert not any(path.name.startswith("cem") for path in query.paths)


def test_a_synthetic_world_is_rendered_into_the_cache_and_read(tmp_path, monkeypatch):
    monkeypatch.setenv("FEATMASK_CACHE", str(tmp_path / "cache"))
    world = {"train_ids": 6, "test_ids": 3, "cameras": 3, "shots": 2, "distractors": 2, "junk": 1}
    world |= {"height": 32, "width": 16}
    data = load_people("synthetic", world=world, height=24, width=12, validation=0.34)
    assert data.root.parent == tmp_path / "cache"
    assert (data.name, data.num_ids, data.train[0].image.shape) == ("synthetic", 4, (3, 24, 12))
    assert "rendered pictures, not photographs" in data.notes
    assert (data.gallery.pids == -1).sum() == 1
    assert (data.gallery.pids == 0).sum() == 2
    assert len(set(data.validation[0].pids.tolist())) == 2
    named = load_people("synthetic", root=tmp_path / "named", world=world, height=24, width=12)
    assert named.root == tmp_path / "named"
    assert torch.equal(named.query.photos[1].image, data.query.photos[1].image)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"root": None}, "'auto' needs a root"),
        ({"name": "vehicles"}, "expected a layout out of auto, market1501"),
        ({"world": {}}, "for the data set 'synthetic' only"),
        ({"name": "synthetic", "world": {"ids": 3}}, r"unknown parameters \['ids'\]; expected some of: domain"),
        ({"name": "synthetic", "world": {"cameras": 1}}, "cameras: expected a whole number from 2"),
        ({"height": 0}, "height: expected a whole number of pixels"),
        ({"width": 12.5}, "width: expected a whole number of pixels"),
        ({"validation": 1.0}, "from 0 to below 1; got 1"),
        ({"validation": -0.1}, "from 0 to below 1"),
        ({"validation": float("nan")}, "from 0 to below 1"),
        ({"train_share": 0.0}, "above 0 to 1; got 0"),
        ({"parts": ("train", "val")}, "parts: expected some of train, query, gallery"),
        ({"parts": "train"}, "parts: expected some of train, query, gallery"),
        ({"validation": 0.05}, r"validation: this share is 1 person\(s\), but expected 2 or more"),
        ({"validation": 0.9}, r"validation: this share is 14 person\(s\), but only 12 can be used"),
        ({"train_share": 0.05}, r"train_share: this share is 1 person\(s\)"),
    ],
)
def test_what_cannot_be_is_refused(market, options, words):
    with pytest.raises(FeatmaskError, match=words):
        load_people(**{"root": market, **options})


def test_someone_must_be_left_to_learn_from(market):
    for path in (market / FOLDERS["train"]).iterdir():
        if truth(path)[0] > 4:
            path.unlink()
    with pytest.raises(FeatmaskError, match=r"1 person\(s\) are left to learn from"):
        load(market, validation=0.67)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"flip": 1.5}, "flip: expected a probability from 0 to 1, got 1.5"),
        ({"erasing": -0.1}, "erasing: expected a probability"),
        ({"grey_patch": float("nan")}, "grey_patch: expected a probability"),
        ({"jitter": "much"}, "jitter: expected a strength from 0 to 1, got 'much'"),
        ({"flip": True}, "flip: expected a probability"),
        ({"pad": -1}, "pad: expected a whole number of pixels"),
        ({"pad": 2.5}, "pad: expected a whole number of pixels"),
    ],
)
def test_augmentation_has_limits(options, words):
    with pytest.raises(FeatmaskError, match=words):
        Augment(**options)


def test_photos_need_a_label_each_and_erasing_a_mean():
    with pytest.raises(FeatmaskError, match=r"one label for each of 3 images, got the shape \(2,\)"):
        Photos(noise(3), np.arange(2))
    for mean in (None, [0.5]):
        with pytest.raises(FeatmaskError, match="expected a mean of 3 channels"):
            Photos(noise(3), np.arange(3), Augment(erasing=0.5), mean)
