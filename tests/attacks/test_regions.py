"""Occlusion, erasing and patches against brute force and the closed form of linear models."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
import torch
from torch import nn

from featmask.attacks import Draws, Region
from featmask.attacks.occlusion import grid
from featmask.errors import FeatmaskError

FIFTH = Fraction(1, 5)


class OnePixel(nn.Module):
    """Class 1 while one pixel is above a threshold."""

    def __init__(self, row, column, threshold=0.7):
        super().__init__()
        self.row, self.column, self.threshold, self.rows = row, column, threshold, []

    def forward(self, x):
        self.rows.append(len(x))
        score = x[:, 0, self.row, self.column] - self.threshold
        return torch.stack([-score, score], 1)


class Linear(nn.Module):
    """Two classes, logits +-(w.x + b) / 2."""

    def __init__(self, w, b):
        super().__init__()
        self.w, self.b = nn.Parameter(w), b

    def forward(self, x):
        score = (x * self.w).flatten(1).sum(1) + self.b
        return torch.stack([-score, score], 1) / 2


def places(length, side, count):
    """The grid along one axis, from the text of its definition alone: evenly from edge to edge, in whole pixels."""
    room = length - side
    return sorted({round(room * k / (count - 1)) for k in range(count)}) if count > 1 else [0]


@pytest.mark.parametrize(("height", "width", "positions"), [(20, 20, 7), (12, 21, 4), (5, 8, 7), (20, 20, 1)])
def test_occlusion_is_the_worst_of_a_grid(height, width, positions):
    side = max(round(min(height, width) / 5), 1)
    for row, column in ((0, 0), (height - 1, width - 1), (height // 2, 3), (height - 1, 2)):
        model = OnePixel(row, column)
        x = torch.full((3, 3, height, width), 0.9)
        covered = any(
            top <= row < top + side and left <= column < left + side
            for top in places(height, side, positions) for left in places(width, side, positions)
        )  # fmt: skip
        region = Region("occlusion", FIFTH, positions=positions)
        found = region.run(model, x, torch.ones(3).long(), Draws.of(0, range(3)))
        region.check(found, x)
        assert ((model(found).argmax(1) == 0) == covered).all()
        hidden = (found == 0.5).all(1)
        assert (hidden.flatten(1).sum(1) == side * side).all()  # the last image, if none is broken
        assert hidden[0, row, column] == covered
        assert (found[~hidden[:, None].expand_as(found)] == x[0, 0, 0, 0]).all()


def test_occlusion_takes_the_largest_margin_where_nothing_breaks():
    generator = torch.Generator().manual_seed(0)
    w, x = torch.randn(2, 15, 15, generator=generator), torch.rand(6, 2, 15, 15, generator=generator)
    model, side = Linear(w, 100.0), 3
    for fill in (0.5, 0, "mean"):
        region = Region("occlusion", FIFTH, fill=fill, positions=5)
        found = region.run(model, x, torch.ones(6).long(), Draws.of(0, range(6)))
        for image, own in zip(found, x, strict=True):
            candidates = []
            for top in places(15, side, 5):
                for left in places(15, side, 5):
                    one = own.clone()
                    for channel in range(2):
                        level = own[channel].mean() if fill == "mean" else fill
                        one[channel, top : top + side, left : left + side] = level
                    candidates.append(one)
            scores = torch.stack([(one * w).sum() for one in candidates])
            assert torch.allclose(image, candidates[int(scores.argmin())], atol=1e-6)


def test_no_pass_is_larger_than_the_batch_and_the_broken_leave():
    model = OnePixel(0, 0)  # the first position of the grid covers it
    x = torch.full((8, 1, 20, 20), 0.9)
    x[3:] = 0.1
    y = torch.ones(8).long()
    y[3:] = 0
    x[3, 0, 0, 0] = 0.9  # wrong already
    x[0, 0, 0, 0] = 0.6  # so is this
    found = Region("occlusion", FIFTH).run(model, x, y, Draws.of(0, range(8)))
    # 6 are right: 1 position a pass; two break at once, 4 last to the end with 2 positions a pass
    assert model.rows == [8, 6, *[8] * 24]
    assert torch.equal(found[[0, 3]], x[[0, 3]])
    alone = OnePixel(19, 19)
    Region("occlusion", FIFTH).run(alone, x[4:5], y[4:5], Draws.of(0, [4]))
    assert alone.rows == [1] * 50


def test_grid_holds_both_edges_and_no_place_twice():
    corners = grid(torch.zeros(1, 1, 30, 50), 6, 7)
    assert len(corners) == 49
    assert corners.amin(0).tolist() == [0, 0]
    assert corners.amax(0).tolist() == [24, 44]
    assert grid(torch.zeros(1, 1, 6, 9), 6, 7).tolist() == [[0, column] for column in range(4)]


def test_erasing_falls_anywhere_alike():
    count, row, column = 3000, 2, 9
    x = torch.full((count, 1, 10, 15), 0.9)
    region, model = Region("erasing", Fraction(3, 10), fill=0.25), OnePixel(row, column)
    found = region.run(model, x, torch.ones(count).long(), Draws.of(0, range(count)))
    region.check(found, x)
    hidden = found[:, 0] == 0.25
    assert (hidden.flatten(1).sum(1) == 9).all()
    corners = hidden.flatten(1).float().argmax(1).bincount(minlength=150).view(10, 15)
    assert (corners[8:] == 0).all()
    assert (corners[:, 13:] == 0).all()
    expected = count / (8 * 13)
    # chi-square with 103 degrees of freedom: above 165 once in 10,000
    assert ((corners[:8, :13] - expected) ** 2 / expected).sum() < 165
    # of 8 x 13 corners those with rows 0 to 2 and columns 7 to 9 cover the pixel
    chance = 9 / 104
    covered = (model(found).argmax(1) == 0).float().mean()
    assert abs(covered - chance) < 5 * (chance * (1 - chance) / count) ** 0.5
    same = region.run(model, x[7:8], torch.ones(1).long(), Draws.of(0, [7]))
    assert torch.equal(found[7:8], same)


def reach(w, x, side, positions):
    """The lowest w.x of any pixels in any square of the grid, (N,): each pixel at 0 or 1."""
    gain = torch.where(w > 0, w * x, -w * (1 - x)).sum(1)
    corners = [(top, left) for top in places(15, side, positions) for left in places(15, side, positions)]
    best = torch.stack([gain[:, top : top + side, left : left + side].sum((1, 2)) for top, left in corners]).amax(0)
    return (x * w).flatten(1).sum(1) - best


def test_patches_reach_the_optimum_of_a_linear_model():
    generator = torch.Generator().manual_seed(1)
    w, x = torch.randn(2, 15, 15, generator=generator), torch.rand(20, 2, 15, 15, generator=generator)
    y, draws = torch.ones(20).long(), Draws.of(0, range(20))
    lowest = reach(w, x, 3, 4)
    region = Region("patch", FIFTH, positions=4, steps=10, restarts=16)
    found = region.run(Linear(w, 100.0), x, y, draws)
    region.check(found, x)
    assert torch.allclose((found * w).flatten(1).sum(1), lowest, atol=1e-4)
    # where the threshold lies between, exactly those break whose optimum lies below it
    model = Linear(w, -float(lowest.sort().values[9:11].mean()))
    right = model(x).argmax(1) == y
    broken = model(region.run(model, x, y, Draws.of(0, range(20)))).argmax(1) != y
    assert right.sum() > 10
    assert torch.equal(broken, (lowest + model.b < 0) | ~right)


def test_one_patch_goes_where_occlusion_hurts_most_and_never_beats_all():
    generator = torch.Generator().manual_seed(2)
    w, x = torch.randn(1, 15, 15, generator=generator), torch.rand(10, 1, 15, 15, generator=generator)
    model, y = Linear(w, 100.0), torch.ones(10).long()

    def lowest(region):
        found = region.run(model, x, y, Draws.of(0, range(10)))
        return found, (found * w).flatten(1).sum(1)

    hidden, covered = lowest(Region("occlusion", FIFTH, positions=4))
    patched, one = lowest(Region("patch", FIFTH, positions=4, steps=10))
    _, all_of_them = lowest(Region("patch", FIFTH, positions=4, steps=10, restarts=16))
    assert ((hidden != x) >= (patched != x)).all()  # the same square
    assert (one < covered).all()
    assert (all_of_them <= one + 1e-5).all()
    assert (all_of_them < one - 0.1).any()


def test_a_patch_may_be_what_occlusion_found():
    class Grey(nn.Module):
        """Wrong only where one pixel is nearly grey; steps of a whole grey level apart never are."""

        def forward(self, x):
            score = (x[:, 0, 4, 4] - 0.5).abs() - 1e-6
            return torch.stack([-score, score], 1)

    x, y = torch.full((20, 1, 8, 8), 0.9), torch.ones(20).long()
    region = Region("patch", FIFTH, steps=1, step_size=1e-4)
    found = region.run(Grey(), x, y, Draws.of(0, range(20)))
    assert (Grey()(found).argmax(1) == 0).all()
    assert (
        Region("patch", FIFTH, fill=0.6, steps=1, step_size=1e-4)
        .run(Grey(), x, y, Draws.of(0, range(20)))[:, 0, 4, 4]
        .ne(0.5)
        .all()
    )


def test_a_patch_needs_gradients_and_occlusion_none():
    class Cut(nn.Module):
        def forward(self, x):
            score = x.detach().flatten(1).sum(1)
            return torch.stack([0 * score, score + 1], 1)

    x, y = torch.rand(2, 1, 8, 8), torch.ones(2).long()
    with pytest.raises(FeatmaskError, match="no gradient reaches the pixels"):
        Region("patch", FIFTH).run(Cut(), x, y, Draws.of(0, range(2)))
    with torch.inference_mode():
        found = Region("occlusion", FIFTH).run(Cut(), torch.rand(2, 1, 8, 8), y, Draws.of(0, range(2)))
    assert found.shape == x.shape
    assert [Region(kind, FIFTH).gradients for kind in ("occlusion", "erasing", "patch")] == [False, False, True]


def test_check_finds_every_change_outside_one_square():
    region, x = Region("patch", Fraction(3, 10)), torch.rand(4, 3, 10, 14) * 0.8 + 0.1

    def changed(*pixels, value=0.0):
        other = x.clone()
        for row, column in pixels:
            other[2, 1, row, column] = value
        return other

    for fine in (x, changed((0, 0)), changed((4, 5), (6, 7)), changed((9, 13), (7, 11)), x + 1e-8):
        region.check(fine, x)
    for broken in (
        changed((0, 0), (3, 0)), changed((5, 2), (5, 5)), changed((0, 13), (9, 0)), changed((1, 1), value=1.001),
        changed((1, 1), value=-0.01), changed((1, 1), value=torch.nan), changed((1, 1), value=torch.inf),
    ):  # fmt: skip
        with pytest.raises(FeatmaskError, match="patch@30% left its budget"):
            region.check(broken, x)
    with pytest.raises(FeatmaskError, match="returned"):
        region.check(x[:2], x)
    region.check(x[:0], x[:0])


def test_sides_are_whole_pixels():
    sides = {(Fraction(1, 5), 32): 6, (Fraction(1, 4), 10): 3, (Fraction(1, 100), 32): 1, (Fraction(1), 7): 7}
    assert {(size, short): Region("patch", size).side(torch.zeros(1, 1, 40, short)) for size, short in sides} == sides


def test_names_and_records():
    names = [
        Region("occlusion", FIFTH).name, Region("occlusion", FIFTH, fill="mean").name,
        Region("erasing", Fraction(1, 8), fill=0).name, Region("patch", Fraction(1, 10)).name,
    ]  # fmt: skip
    assert names == ["occlusion@20%", "occlusion-mean@20%", "erasing-0@12.5%", "patch@10%"]
    plain = json.loads(json.dumps(Region("patch", FIFTH, restarts=3).plain()))
    assert (plain["name"], plain["kind"], plain["size"], plain["restarts"]) == ("patch@20%", "patch", "1/5", 3)
    assert (
        Region("patch", FIFTH).run(OnePixel(0, 0), torch.rand(0, 1, 8, 8), torch.ones(0).long(), Draws([])).shape[0]
        == 0
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "hole"}, {"size": Fraction(0)}, {"size": Fraction(3, 2)}, {"fill": 2}, {"fill": "median"},
        {"positions": 0}, {"steps": 0}, {"restarts": 0}, {"eot": 0}, {"step_size": 0.0},
    ],
)  # fmt: skip
def test_mistakes_are_told(wrong):
    with pytest.raises(FeatmaskError, match=next(iter(wrong))):
        Region(**{"kind": "patch", "size": FIFTH, **wrong})
