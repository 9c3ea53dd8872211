"""Batches of persons: counts, fairness, and repetition from (seed, epoch); and how processes share batches."""

from __future__ import annotations

import time
from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from featmask.errors import FeatmaskError
from featmask.reid.sampling import PersonBatches
from featmask.training.sampling import Seeded, Shares, Shuffle


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


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_processes_share_each_batch_of_images(processes):
    order = Shuffle(100, seed=5)
    for order.epoch in range(2):
        rows = list(order)
        parts = [list(Shares(order, 24, process, processes)) for process in range(processes)]
        whole = [list(chain(*pieces)) for pieces in zip(*parts, strict=True)]
        # 4 of 100 are left out: no batch is smaller than the others
        assert [[row for row, _ in batch] for batch in whole] == [rows[start : start + 24] for start in (0, 24, 48, 72)]
        assert whole == list(Shares(order, 24))
        assert {len(piece) for part in parts for piece in part} == {24 // processes}


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_get_whole_persons(processes):
    labels = labels_of(SIZES["seams"])
    sampler = PersonBatches(labels, 6, 2, seed=5)
    parts = [list(Shares(sampler, 12, process, processes)) for process in range(processes)]
    whole = [list(chain(*pieces)) for pieces in zip(*parts, strict=True)]
    assert [[row for row, _ in batch] for batch in whole] == list(sampler)
    for piece in (piece for part in parts for piece in part):
        assert list(Counter(labels[[row for row, _ in piece]]).values()) == [2] * (6 // processes)


def test_every_place_of_an_epoch_has_a_seed_of_its_own():
    def seeds(seed, epoch):
        order = Shuffle(4000, seed)
        order.epoch = epoch
        return [number for batch in Shares(order, 100) for _, number in batch]

    assert seeds(0, 0) == seeds(0, 0)
    drawn = [*seeds(0, 0), *seeds(0, 1), *seeds(1, 0)]
    # of 12,000 draws from 2**32 two are the same with a probability of 1.7 %, three pairs with less than 1e-6
    assert len(set(drawn)) >= len(drawn) - 2


@pytest.mark.parametrize(
    ("order", "processes", "message"),
    [
        (Shuffle(100, 0), 5, "5 processes cannot share a batch of 24 images.*a multiple of 5 from 10 on"),
        (Shuffle(100, 0), 24, "24 processes cannot.*2 or more each.*a multiple of 24 from 48 on"),
        (Shuffle(23, 0), 2, "a batch of 23 images.*no more than there is data for"),
        (PersonBatches([0, 0, 1, 1, 2, 2], 3, 2, 0), 2, "a batch of 3 persons.*a multiple of 4 from 8 on"),
        (PersonBatches([0, 0, 1, 1, 2, 2, 3, 3], 4, 2, 0), 4, "a batch of 4 persons.*a multiple of 8 from 16 on"),
    ],
)  # fmt: skip
def test_batches_that_processes_cannot_share(order, processes, message):
    assert len(Shares(order, 24))
    with pytest.raises(FeatmaskError, match=message):
        Shares(order, 24, 0, processes)


class Noisy:
    """A sample is noise, whatever its row."""

    def __len__(self):
        return 6

    def __getitem__(self, row):
        return torch.cat([torch.rand(3), torch.randn(1), torch.randperm(5)])


def test_what_is_random_about_a_sample_comes_from_its_seed_alone():
    seeded = Seeded(Noisy())
    before = torch.get_rng_state()
    first = seeded.__getitems__([(0, 7), (1, 8), (2, 7)])
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(first[0], first[2])
    assert torch.equal(first[0], seeded[0, 7])
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_workers_change_nothing(workers):
    order = Shuffle(6, 0)
    loader = DataLoader(Seeded(Noisy()), batch_sampler=Shares(order, 3), num_workers=workers)
    expected = [torch.stack(Seeded(Noisy()).__getitems__(batch)) for batch in Shares(order, 3)]
    assert all(torch.equal(a, b) for a, b in zip(loader, expected, strict=True))


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
