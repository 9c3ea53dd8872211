"""Data: splits that never move, pixels that are what the files hold, mistakes that are named."""

from __future__ import annotations

import gzip
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from featmask.data import load_images
from featmask.data.tables import DEBIAN_FASHION_MNIST, FASHION_FILES
from featmask.errors import FeatmaskError


def rows(images):
    return set(images.rows.tolist())


def test_digits_hold_every_image_once_with_its_label():
    from sklearn.datasets import load_digits

    raw = load_digits()
    splits = load_images("digits")
    parts = [splits.train, splits.validation, splits.test]
    assert sorted(np.concatenate([part.rows for part in parts])) == list(range(len(raw.target)))
    for part in parts:
        for position in range(0, len(part), 50):
            sample = part[position]
            assert sample.label == raw.target[sample.row]
            # 16 grey levels, stored as 8 bits
            assert np.allclose(sample.image[0].numpy(), raw.images[sample.row] / 16, atol=0.5 / 255)


def test_splits_are_stratified_and_the_same_every_time():
    first, second = load_images("digits"), load_images("digits")
    assert rows(first.test) == rows(second.test)
    for part, share in ((first.test, 0.25), (first.validation, 0.075)):
        for count in Counter(part.labels.tolist()).values():
            assert abs(count - 179.7 * share) < 6


def test_train_share_takes_a_subset_and_leaves_the_other_parts():
    whole, tenth = load_images("digits"), load_images("digits", train_share=0.1)
    assert rows(tenth.train) < rows(whole.train)
    assert len(tenth.train) == pytest.approx(0.1 * len(whole.train), abs=1)
    assert rows(tenth.test) == rows(whole.test)
    assert rows(tenth.validation) == rows(whole.validation)


def test_rotate90_gives_exactly_the_four_rotations():
    plain, turned = load_images("digits"), load_images("digits", augment=["rotate90"])
    image = plain.train[5].image
    expected = {k: torch.rot90(image, k, (1, 2)).contiguous().numpy().tobytes() for k in range(4)}
    seen = {turned.train[5].image.numpy().tobytes() for _ in range(100)}
    assert seen == set(expected.values())  # one is missed by chance with probability 4 * 0.75 ** 100 < 1e-11


def test_flip_and_shift_change_training_images_only():
    splits = load_images("digits", augment=["flip", "shift"])
    again = load_images("digits")
    assert torch.equal(splits.test[0].image, again.test[0].image)
    assert any(not torch.equal(splits.train[i].image, again.train[i].image) for i in range(20))


def test_elpv_is_split_as_deitsch_does():
    pytest.importorskip("elpv_dataset")
    splits = load_images("elpv", size=32, sample_weights=True)
    # 2,624 photographs, a quarter of them for testing; 106 + 715 have a probability over 1/2
    assert (len(splits.train) + len(splits.validation), len(splits.test)) == (1968, 656)
    labels = np.concatenate([splits.train.labels, splits.validation.labels, splits.test.labels])
    assert labels.sum() == 106 + 715
    assert splits.test[0].image.shape == (1, 32, 32)
    weights = Counter(round(splits.train[i].weight, 6) for i in range(len(splits.train)))
    assert set(weights) == {1.0, round(1 / 3, 6)}


def write_fashion(folder: Path, train: int = 40, test: int = 20) -> np.ndarray:
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    labels = (np.arange(train + test) % 10).astype(np.uint8)
    for name, part in zip(FASHION_FILES, (images[:train], labels[:train], images[train:], labels[train:]), strict=True):
        header = struct.pack(f">HBB{part.ndim}I", 0, 8, part.ndim, *part.shape)
        with gzip.open(folder / f"{name}.gz", "wb") as handle:
            handle.write(header + part.tobytes())
    return images


def test_fashion_mnist_is_read_from_idx_files(tmp_path):
    images = write_fashion(tmp_path / "fashion")
    splits = load_images("fashion_mnist", root=tmp_path / "fashion", validation=0.25)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (30, 10, 20)
    sample = splits.test[3]
    assert np.array_equal((sample.image[0] * 255).round().numpy(), images[43])
    assert sample.label == 43 % 10


def test_fashion_mnist_that_is_cut_short_or_missing_is_named(tmp_path):
    write_fashion(tmp_path / "fashion")
    path = tmp_path / "fashion" / f"{FASHION_FILES[0]}.gz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FeatmaskError, match="train-images"):
        load_images("fashion_mnist", root=tmp_path / "fashion")
    with pytest.raises(FeatmaskError, match="no Fashion-MNIST in"):
        load_images("fashion_mnist", root=tmp_path)


@pytest.mark.skipif(not DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's package is not installed")
def test_fashion_mnist_of_debian():
    splits = load_images("fashion_mnist")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (54_000, 6_000, 10_000)


def test_imagefolder_flat(photo_folder):
    splits = load_images("imagefolder", root=photo_folder, size=16)
    assert splits.classes == ("bright", "dark")
    assert splits.test[0].image.shape == (3, 16, 16)
    for part in (splits.train, splits.validation, splits.test):
        for sample in (part[i] for i in range(len(part))):
            assert (sample.image.mean() < 0.45) == (sample.label == 1)


def test_imagefolder_with_parts(photo_folder, tmp_path):
    for part in ("train", "val", "test"):
        (tmp_path / "parts" / part).mkdir(parents=True)
        for name in ("bright", "dark"):
            (tmp_path / "parts" / part / name).symlink_to(photo_folder / name)
    splits = load_images("imagefolder", root=tmp_path / "parts", size=8)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [32, 32, 32]


def test_unreadable_images_are_all_named(photo_folder):
    (photo_folder / "dark" / "03.png").write_bytes(b"no image")
    whole = (photo_folder / "bright" / "05.png").read_bytes()
    (photo_folder / "bright" / "05.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FeatmaskError) as error:
        load_images("imagefolder", root=photo_folder, size=16)
    assert "2 of 32" in str(error.value)
    assert "03.png" in str(error.value)
    assert "05.png" in str(error.value)


def test_large_folders_are_read_on_demand(photo_folder, monkeypatch):
    kept = load_images("imagefolder", root=photo_folder, size=16)
    monkeypatch.setattr("featmask.data.pixels.KEEP_BYTES", 0)
    lazy = load_images("imagefolder", root=photo_folder, size=16)
    assert torch.equal(kept.test[2].image, lazy.test[2].image)
    lazy.test.table.pixels.paths[lazy.test.rows[2]].write_bytes(b"")
    with pytest.raises(FeatmaskError, match="cannot read the image"):
        _ = lazy.test[2]


def test_folders_that_cannot_work(tmp_path, photo_folder):
    with pytest.raises(FeatmaskError, match="no folder"):
        load_images("imagefolder", root=tmp_path / "nowhere", size=16)
    with pytest.raises(FeatmaskError, match=r"needs data\.root"):
        load_images("imagefolder", root=photo_folder)
    (photo_folder / "empty").mkdir()
    with pytest.raises(FeatmaskError, match=r"no images in the class folders \['empty'\]"):
        load_images("imagefolder", root=photo_folder, size=16)
    one = tmp_path / "one"
    one.mkdir()
    (one / "dark").symlink_to(photo_folder / "dark")
    with pytest.raises(FeatmaskError, match="two or more"):
        load_images("imagefolder", root=one, size=16)
    half = tmp_path / "half"
    (half / "train").mkdir(parents=True)
    with pytest.raises(FeatmaskError, match="no 'test'"):
        load_images("imagefolder", root=half, size=16)


def test_unknown_names_list_what_exists():
    with pytest.raises(FeatmaskError, match="elpv, fashion_mnist, digits, imagefolder"):
        load_images("cifar")
    with pytest.raises(FeatmaskError, match="flip, vflip, rotate90, shift"):
        load_images("digits", augment=["blur"])
    with pytest.raises(FeatmaskError, match="cannot hold out"):
        load_images("digits", validation=0.001)


def test_statistics_are_of_the_plain_images_and_draw_nothing():
    plain, augmented = load_images("digits"), load_images("digits", augment=["flip", "shift"])
    before = torch.get_rng_state()
    assert augmented.train.statistics() == plain.train.statistics()
    assert torch.equal(torch.get_rng_state(), before)
    images = torch.stack([plain.train[i].image for i in range(len(plain.train))])
    mean, std = plain.train.statistics(count=len(plain.train))
    assert mean == pytest.approx([images.mean().item()], rel=1e-5)
    assert std == pytest.approx([images.std().item()], rel=1e-5)
