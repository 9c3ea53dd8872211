"""Readers of published corrupted sets: the pixels, labels and rows of the files; mistakes that say what is missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from featmask.data import CORRUPTIONS, open_corrupted
from featmask.data.images import Sample
from featmask.errors import FeatmaskError

pillow = pytest.importorskip("PIL.Image")
pytest.importorskip("torchvision")

BLOCK = 6


@pytest.fixture
def cifar(tmp_path):
    """Five blocks of six images; a pixel's level tells its place."""
    labels = np.tile(np.array([3, 0, 9, 1, 1, 4], dtype=np.uint8), 5)
    np.save(tmp_path / "labels.npy", labels)
    rng = np.random.default_rng(0)
    for kind in ("fog", "gaussian_noise", "saturate"):
        images = rng.integers(0, 256, (5 * BLOCK, 32, 32, 3), dtype=np.uint8)
        images[:, 0, 0, 0] = np.arange(5 * BLOCK)
        np.save(tmp_path / f"{kind}.npy", images)
    return tmp_path


@pytest.fixture
def imagenet(tmp_path):
    """Two corruptions, two severities, three classes of 1, 2 and 3 images of one colour."""
    for kind, place in (("snow", "snow"), ("defocus_blur", "blur/defocus_blur")):
        for severity in (1, 5):
            for label, name in enumerate(("n03", "n01", "n02")):
                folder = tmp_path / place / str(severity) / name
                folder.mkdir(parents=True)
                for index in range(label + 1):
                    colour = (40 * label, 20 * index, 10 * severity + len(kind))
                    pillow.new("RGB", (30, 20), colour).save(folder / f"{index}.png")
    return tmp_path


def refusal(call) -> str:
    with pytest.raises(FeatmaskError) as caught:
        call()
    return str(caught.value)


def test_cifar_blocks_are_severities_of_the_same_images(cifar):
    corrupted = open_corrupted(cifar)
    assert (corrupted.name, corrupted.table, corrupted.severities) == ("cifar10-c", "cifar", (1, 2, 3, 4, 5))
    assert corrupted.kinds == ("gaussian_noise", "fog", "saturate")  # the published order, the four extra ones last
    raw = np.load(cifar / "fog.npy")
    for severity in corrupted.severities:
        images = corrupted.images("fog", severity)
        assert len(images) == BLOCK
        for row in range(BLOCK):
            item = images[row]
            assert isinstance(item, Sample)
            expected = raw[(severity - 1) * BLOCK + row].transpose(2, 0, 1)
            assert item.image.dtype == torch.float32
            assert torch.equal((item.image * 255).round(), torch.from_numpy(expected.astype(np.float32)))
            assert item[1:] == ([3, 0, 9, 1, 1, 4][row], 1.0, row)


def test_cifar_in_batches_resized_and_by_worker(cifar):
    corrupted = open_corrupted(str(cifar), size=16)
    loader = DataLoader(corrupted.images("fog", 2), batch_size=4, num_workers=1)
    pixels, labels, weights, rows = (torch.cat(part) for part in zip(*loader, strict=True))
    assert pixels.shape == (BLOCK, 3, 16, 16)
    assert labels.tolist() == [3, 0, 9, 1, 1, 4]
    assert rows.tolist() == list(range(BLOCK))
    assert weights.tolist() == [1.0] * BLOCK
    whole = torch.stack([item.image for item in map(open_corrupted(cifar).images("fog", 2).__getitem__, range(BLOCK))])
    # a resize to half keeps the mean but for what the antialiasing filter does at the border
    assert (pixels.mean((2, 3)) - whole.mean((2, 3))).abs().max() < 0.02


def test_a_hundred_classes_are_called_so(cifar):
    labels = np.load(cifar / "labels.npy").astype(np.int64) * 10
    np.save(cifar / "labels.npy", labels)
    assert open_corrupted(cifar).name == "cifar100-c"
    assert "labels go from 0 to 90, but 10 classes are named" in refusal(
        lambda: open_corrupted(cifar, list("abcdefghij"))
    )


def test_cifar_without_labels(cifar):
    (cifar / "labels.npy").unlink()
    assert "no labels.npy" in refusal(lambda: open_corrupted(cifar))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.zeros(29, dtype=np.uint8), "in 5 blocks of one length; got uint8 (29,)"),
        (np.zeros(30), "got float64 (30,)"),
        (np.zeros((30, 1), dtype=np.uint8), "got uint8 (30, 1)"),
        (np.arange(30) % 10, "the same labels in each of the 5 blocks"),
        (np.full(30, -1), "labels go from -1"),
        (np.zeros(25, dtype=np.uint8), "gaussian_noise.npy: expected uint8 (25, H, W, 3), got uint8 (30, 32, 32, 3)"),
    ],
)
def test_cifar_labels_that_do_not_fit(cifar, labels, says):
    np.save(cifar / "labels.npy", labels)
    assert says in refusal(lambda: open_corrupted(cifar))


def test_every_cifar_file_that_does_not_fit_is_listed(cifar):
    np.save(cifar / "fog.npy", np.zeros((30, 3, 32, 32), dtype=np.uint8))
    np.save(cifar / "snow.npy", np.zeros((30, 32, 32, 3)))
    (cifar / "saturate.npy").write_bytes(b"not an array")
    np.save(cifar / "frost.npy", np.array([{}]), allow_pickle=True)  # a pickle could run code: never loaded
    message = refusal(lambda: open_corrupted(cifar))
    for name in ("fog", "snow", "saturate", "frost"):
        assert f"{name}.npy" in message
    assert "gaussian_noise.npy" not in message


def test_imagenet_folders_are_classes_in_sorted_order(imagenet):
    corrupted = open_corrupted(imagenet)
    assert (corrupted.name, corrupted.table, corrupted.severities) == ("imagenet-c", "imagenet", (1, 5))
    assert corrupted.kinds == ("defocus_blur", "snow")
    assert corrupted.classes == ("n01", "n02", "n03")
    for kind in corrupted.kinds:
        for severity in corrupted.severities:
            images = corrupted.images(kind, severity)
            items = [images[row] for row in range(len(images))]
            assert [item.label for item in items] == [0, 0, 1, 1, 1, 2]
            assert [item.row for item in items] == list(range(6))
            assert items[0].image.shape == (3, 224, 224)
            blue = 10 * severity + len(kind)
            got = [(item.image[:, 5, 7] * 255).round().tolist() for item in items]
            assert got == [[40, 0, blue], [40, 20, blue], [80, 0, blue], [80, 20, blue], [80, 40, blue], [0, 0, blue]]


def test_imagenet_labels_follow_the_classes_that_are_given(imagenet):
    corrupted = open_corrupted(imagenet, classes=["n00", "n03", "n02", "n01"], size=16)
    images = corrupted.images("snow", 1)
    assert [images[row].label for row in range(6)] == [3, 3, 2, 2, 2, 1]
    assert images[0].image.shape == (3, 16, 16)
    message = refusal(lambda: open_corrupted(imagenet, classes=["n01", "n02"]))
    assert "1 class folders are not among the 2 classes:\n  n03" in message


def test_imagenet_lists_what_is_missing(imagenet):
    for folder in ("snow/5", "blur/defocus_blur/1/n02"):
        for path in sorted((imagenet / folder).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (imagenet / folder).rmdir()
    message = refusal(lambda: open_corrupted(imagenet))
    assert "lacks 2 folders" in message
    assert str(imagenet / "snow" / "5") in message
    assert str(imagenet / "blur" / "defocus_blur" / "1" / "n02") in message


def test_imagenet_rows_are_the_same_photograph_or_refused(imagenet):
    corrupted = open_corrupted(imagenet, size=16)
    corrupted.images("snow", 1)
    (imagenet / "snow" / "5" / "n02" / "2.png").unlink()
    message = refusal(lambda: corrupted.images("snow", 5))
    assert "do not hold the same photographs" in message
    assert "n02/2" in message


def test_an_image_that_cannot_be_read_is_named(imagenet):
    broken = imagenet / "snow" / "1" / "n01" / "1.png"
    broken.write_bytes(b"no image")
    assert str(broken) in refusal(lambda: open_corrupted(imagenet, size=16).images("snow", 1))


def test_kinds_severities_and_sizes_that_are_not_there(imagenet, tmp_path):
    corrupted = open_corrupted(imagenet)
    assert "there are: defocus_blur, snow" in refusal(lambda: corrupted.images("fog", 1))
    assert "there are: (1, 5)" in refusal(lambda: corrupted.images("snow", 2))
    assert "size: expected a number of pixels, got 0" in refusal(lambda: open_corrupted(imagenet, size=0))
    assert "no folder" in refusal(lambda: open_corrupted(tmp_path / "nowhere"))


def test_a_folder_of_neither_layout_tells_both(tmp_path):
    message = refusal(lambda: open_corrupted(tmp_path))
    assert f"{CORRUPTIONS[0]}.npy" in message
    assert f"{CORRUPTIONS[0]}/1/<class>" in message
    (tmp_path / "snow").mkdir()
    assert "no folders 1 to 5" in refusal(lambda: open_corrupted(tmp_path))
    (tmp_path / "snow" / "1").mkdir()
    assert "no class folders" in refusal(lambda: open_corrupted(tmp_path))
