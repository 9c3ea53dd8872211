"""What attacks draw: each sample's own numbers, whatever batch it stands in."""

from __future__ import annotations

import torch
from scipy import stats

from featmask.attacks import Draws, Stream


def test_a_sample_draws_the_same_alone_and_in_any_batch_and_order():
    together = Draws.of(3, [5, 9, 2], "pgd")
    first = together.uniform(2, 4), together.normal(3)
    for place, row in enumerate([5, 9, 2]):
        alone = Draws.of(3, [row], "pgd")
        assert torch.equal(alone.uniform(2, 4)[0], first[0][place])
        assert torch.equal(alone.normal(3)[0], first[1][place])
    turned = Draws.of(3, [2, 5, 9], "pgd")
    assert torch.equal(turned.uniform(2, 4), first[0][[2, 0, 1]])


def test_seed_row_and_purpose_each_give_other_numbers():
    numbers = {
        tuple(Draws.of(seed, [row], purpose).uniform(4)[0].tolist())
        for seed in (0, 1)
        for row in (0, 1)
        for purpose in ("pgd", "square")
    }
    assert len(numbers) == 8


def test_those_taken_go_on_where_they_were():
    plain, taken = Draws.of(0, range(4)), Draws.of(0, range(4))
    plain.uniform(3)
    taken.uniform(3)
    expected = plain.uniform(3)
    assert torch.equal(taken.take(torch.tensor([False, True, False, True])).uniform(3), expected[[1, 3]])
    assert torch.equal(taken.take(torch.tensor([2, 0])).uniform(3), expected[[2, 0]])
    assert taken.take(torch.zeros(4, dtype=torch.bool)).normal(3, 2).shape == (0, 3, 2)


def test_the_numbers_are_uniform_and_normal():
    """Kolmogorov-Smirnov over the first numbers of many samples, which are unrelated. False alarms: 1e-4."""
    draws = Draws.of(0, range(4000))
    assert stats.kstest(draws.uniform(1).flatten().numpy(), "uniform").pvalue > 5e-5
    assert stats.kstest(draws.normal(1).flatten().numpy(), "norm").pvalue > 5e-5


def test_one_stream_gives_what_its_generator_gives():
    stream = Stream(3, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(stream.uniform(2, 2), torch.rand(3, 2, 2, generator=generator))
    taken = stream.take(torch.tensor([True, False, True]))
    assert torch.equal(taken.normal(5), torch.randn(2, 5, generator=generator))
    assert len(stream.take(torch.tensor([2])).uniform(1)) == 1
