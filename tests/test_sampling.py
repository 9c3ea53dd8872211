"""Batches of persons: counts of persons and images, fairness, and repetition from (seed, epoch)."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from featmask.errors import FeatmaskError
from featmask.sampling import PersonBatches, Shuffle


def labels_of(sizes, seed=0):
    """Identities with so many images each, in any order, and with numbers that are not 0, 1, 2..."""
    labels = np.repeat(10 + 3 * np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).permutation(labels)


SIZES = {
    "even": [4] * 12,
    "seams": [5, 7, 9, 3, 11, 6, 8],  # neither persons nor images divide anything
    "small": [1, 2, 3, 1, 2, 9, 30],
    "just enough": [6, 6, 6],
}
CASES = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)


def epochs(sampler, count=4):
    for epoch in range(count):
        sampler.epoch = epoch
        yield list(sampler)


@CASES
@pytest.mark.parametrize(("persons", "images"), [(2, 2), (3, 4), (3, 3)])
def test_every_batch_holds_p_persons_with_k_images_each(sizes, persons, images):
    labels = labels_of(sizes)
    sampler = PersonBatches(labels, persons, images, seed=3)
    for batches in epochs(sampler):
        assert len(batches) == len(sampler) == -(-len(labels) // (persons * images))
        for batch in batches:
            assert all(isinstance(row, int) for row in batch)
            shown = Counter(labels[batch].tolist())
            assert len(shown) == persons
            assert set(shown.values()) == {images}


@CASES
def test_persons_come_up_equally_often_at_every_moment(sizes):
    labels = labels_of(sizes)
    for batches in epochs(PersonBatches(labels, 3, 2, seed=0)):
        counts = dict.fromkeys(labels.tolist(), 0)
        for batch in batches:
            for person in set(labels[batch].tolist()):
                counts[person] += 1
            assert max(counts.values()) - min(counts.values()) <= 1


@CASES
def test_no_image_comes_back_before_all_of_its_person_were_shown(sizes):
    labels = labels_of(sizes)
    for batches in epochs(PersonBatches(labels, 2, 4, seed=1)):
        counts = dict.fromkeys(range(len(labels)), 0)
        for batch in batches:
            for row in batch:
                counts[row] += 1
                mine = [counts[other] for other in np.flatnonzero(labels == labels[row]).tolist()]
                assert max(mine) - min(mine) <= 1


@CASES
def test_images_repeat_in_a_batch_only_where_a_person_has_too_few(sizes):
    labels = labels_of(sizes)
    available = Counter(labels.tolist())
    for batches in epochs(PersonBatches(labels, 3, 4, seed=1)):
        for batch in batches:
            for person in set(labels[batch].tolist()):
                mine = Counter(row for row in batch if labels[row] == person)
                assert len(mine) == min(4, available[person])
                assert max(mine.values()) - min(mine.values()) <= 1


def test_every_image_is_shown_once_where_persons_have_k_images_each():
    sampler = PersonBatches(labels_of([4] * 12), 3, 4, seed=0)
    for batches in epochs(sampler):
        assert sorted(row for batch in batches for row in batch) == list(range(48))


def test_orders_come_from_seed_and_epoch_alone():
    labels = labels_of(SIZES["seams"])
    one, other, third = (PersonBatches(labels, 3, 2, seed) for seed in (7, 7, 8))
    first = list(epochs(one))
    other.epoch = 2
    assert list(other) == first[2]
    assert list(other) == first[2]
    assert list(epochs(third)) != first
    assert all(a != b for a, b in pairwise(first))
    state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002 - the global one must not move
    list(one)
    assert (np.random.get_state()[1] == state[0]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state[1])


def test_labels_may_be_lists_arrays_or_tensors():
    labels = labels_of(SIZES["seams"])
    expected = list(PersonBatches(labels, 3, 2, 0))
    assert list(PersonBatches(labels.tolist(), 3, 2, 0)) == expected
    assert list(PersonBatches(torch.from_numpy(labels), 3, 2, 0)) == expected


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_loader_takes_them_whole_and_follows_the_epoch(workers):
    labels = labels_of(SIZES["seams"])
    sampler = PersonBatches(labels, 3, 2, seed=5)
    rows = TensorDataset(torch.arange(len(labels)))
    loader = DataLoader(rows, batch_sampler=sampler, num_workers=workers, persistent_workers=workers > 0)
    for epoch in range(2):
        sampler.epoch = epoch
        assert [batch.tolist() for (batch,) in loader] == list(sampler)


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("sizes", [[4] * 12, [5, 7, 9, 3, 11, 6, 8]])
def test_accelerate_gives_whole_batches_to_every_process(processes, sizes):
    shard = pytest.importorskip("accelerate.data_loader").BatchSamplerShard
    labels = labels_of(sizes)
    sampler = PersonBatches(labels, 3, 2, seed=5)
    batches = list(sampler)
    assert any(len(batches) % n for n in (2, 3))
    shares = [list(shard(sampler, processes, i, split_batches=False)) for i in range(processes)]
    assert len({len(share) for share in shares}) == 1
    dealt = [batch for step in zip(*shares, strict=True) for batch in step]
    assert dealt[: len(batches)] == batches
    # where the batches do not divide by the processes, the first ones come again
    assert dealt[len(batches) :] == batches[: len(dealt) - len(batches)]


def test_accelerate_prepares_a_loader_of_them():
    accelerate = pytest.importorskip("accelerate")
    pytest.importorskip("accelerate.state").AcceleratorState._reset_state(reset_partial_state=True)
    labels = labels_of(SIZES["seams"])
    sampler = PersonBatches(labels, 3, 2, seed=5)
    rows = TensorDataset(torch.arange(len(labels)))
    loader = accelerate.Accelerator(cpu=True).prepare(DataLoader(rows, batch_sampler=sampler))
    for epoch in (4, 0):
        sampler.epoch = epoch
        assert len(loader) == len(sampler)
        assert [batch.tolist() for (batch,) in loader] == list(sampler)


def test_an_epoch_of_a_usual_size_takes_no_time():
    labels = np.random.default_rng(0).integers(0, 750, 13_000)
    sampler = PersonBatches(labels, 16, 4, seed=0)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        assert sum(len(batch) for batch in sampler) == 204 * 64
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1


@pytest.mark.parametrize(
    ("labels", "persons", "images", "message"),
    [
        ([0, 0, 1, 1, 2, 2], 4, 2, "at least 4 identities.*got 3; show fewer persons"),
        ([0, 0, 1, 1], 1, 2, "2 or more persons.*got 1 and 2"),
        ([0, 0, 1, 1], 2, 1, "2 or more images.*got 2 and 1"),
        ([0.5, 1.5], 2, 2, "list of integers, got float64"),
        ([], 2, 2, "list of integers"),
        ([[0, 1], [1, 0]], 2, 2, "list of integers"),
    ],
)
def test_mistakes(labels, persons, images, message):
    with pytest.raises(FeatmaskError, match=message):
        PersonBatches(labels, persons, images, seed=0)


def test_shuffle_is_a_permutation_for_each_seed_and_epoch():
    sampler = Shuffle(50, seed=2)
    first = list(epochs(sampler))
    assert len(sampler) == 50
    assert all(sorted(order) == list(range(50)) for order in first)
    assert len({tuple(order) for order in first}) == len(first)
    assert first == list(epochs(Shuffle(50, seed=2)))
    assert first[3] == np.random.default_rng([2, 3]).permutation(50).tolist()
