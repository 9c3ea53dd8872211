"""Guides against a naive search, image by image; planted duplicates, junk, lone images, distractors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featmask.errors import FeatmaskError
from featmask.reid.attacks import choose_guides, guides_rule

JUNK = -1


def crowd(seed, size=60, people=7, cameras=3):
    rng = np.random.default_rng(seed)
    ids = rng.integers(-1, people, size)
    cams = rng.integers(0, cameras, size)
    features = torch.from_numpy(rng.normal(size=(size, 5))).float()
    return ids, cams, features


def naive(i, ids, cams, row, features, pool_features, pool_ids, pool_cams, pool_rows, count, exclude):
    """Positions of the guides in the pool, and the pull."""
    same = [j for j in range(len(pool_ids)) if pool_ids[j] == ids[i] and pool_ids[j] != JUNK and pool_rows[j] != row[i]]
    other = [j for j in same if pool_cams[j] != cams[i]]
    chosen = sorted(other or same, key=lambda j: float((pool_features[j] - features[i]).norm()))[:count]
    means = {
        p: pool_features[pool_ids == p].mean(0) for p in set(pool_ids.tolist()) - {JUNK, int(ids[i])} - set(exclude)
    }
    pull = max(means.values(), key=lambda mean: float((mean - features[i]).norm()))
    return chosen, pull


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("exclude", [(), (0, 3)])
def test_guides_are_those_of_a_naive_search(seed, exclude):
    pool_ids, pool_cams, pool_features = crowd(seed)
    rng = np.random.default_rng(seed + 100)
    # rows that are not positions, and every third image stored twice under one number
    pool_rows = rng.permutation(len(pool_ids)) + 1000
    pool_rows[1::3] = pool_rows[::3]
    chosen = rng.choice(len(pool_ids), 25, replace=False)
    ids, cams, rows, features = pool_ids[chosen], pool_cams[chosen], pool_rows[chosen], pool_features[chosen]
    guides = choose_guides(
        ids, cams, rows, features, pool_features, pool_ids, pool_cams, pool_rows=pool_rows, count=3, exclude=exclude
    )
    assert guides.push.shape == (25, 3, 5)
    for i in range(25):
        expected, pull = naive(
            i, ids, cams, rows, features, pool_features, pool_ids, pool_cams, pool_rows, 3, exclude
        )  # fmt: skip
        assert guides.push_mask[i].tolist() == [k < len(expected) for k in range(3)]
        assert torch.equal(guides.push[i, : len(expected)], pool_features[expected])
        assert (guides.push[i, len(expected) :] == 0).all()
        assert torch.allclose(guides.pull[i], pull, atol=1e-5)


def test_an_image_is_no_guide_of_itself_even_when_it_is_stored_twice():
    features = torch.tensor([[0.0, 0], [0.0, 0], [1.0, 0], [9.0, 9]])
    ids, cams, rows = [5, 5, 5, 6], [0, 1, 0, 0], [7, 7, 8, 9]
    guides = choose_guides([5], [0], [7], features[:1], features, ids, cams, pool_rows=rows)
    assert guides.push_mask.sum() == 1
    assert torch.equal(guides.push[0, 0], features[2])
    # without the numbers, positions count, and the copy is taken for another image
    copied = choose_guides([5], [0], [0], features[:1], features, ids, cams)
    assert torch.equal(copied.push[0, 0], features[1])


def test_query_images_that_are_not_in_the_pool_have_no_number():
    ids, _, features = crowd(3)
    ids = np.where(ids == JUNK, 0, ids)
    guides = choose_guides(ids, None, None, features, features, ids, None, count=1)
    # nearest is then the very same feature
    assert torch.equal(guides.push[:, 0], features)


def test_junk_is_never_a_guide_nor_a_centroid():
    features = torch.tensor([[0.0, 0], [0.1, 0], [50.0, 0], [1.0, 1], [0.0, 2]])
    ids, cams = [1, JUNK, JUNK, 1, 2], [0, 1, 1, 1, 0]
    guides = choose_guides(ids, cams, range(5), features, features, ids, cams)
    assert torch.equal(guides.push[0, 0], features[3])
    assert not guides.push_mask[1:3].any(), "an image of nobody has no other image of the same person"
    assert torch.equal(guides.pull[0], features[4])


def test_other_cameras_come_first_and_the_same_camera_is_the_last_resort():
    features = torch.tensor([[0.0, 0], [0.1, 0], [5.0, 0], [9.0, 9]])
    ids = [1, 1, 1, 2]
    guides = choose_guides(ids, [0, 0, 1, 0], range(4), features, features, ids, [0, 0, 1, 0])
    assert guides.push_mask[0].sum() == 1
    assert torch.equal(guides.push[0, 0], features[2])
    alone = choose_guides(ids, [0, 0, 0, 0], range(4), features, features, ids, [0, 0, 0, 0])
    assert torch.equal(alone.push[0, :2], features[1:3])
    assert not alone.push_mask[3].any()


def test_batches_of_guides_are_rows():
    ids, cams, features = crowd(1)
    guides = choose_guides(ids, cams, range(60), features, features, ids, cams)
    part = guides[10:20]
    assert torch.equal(part.push, guides.push[10:20])
    assert torch.equal(part.pull, guides.pull[10:20])
    assert torch.equal(part.push_mask, guides.push_mask[10:20])


def test_the_rule_says_what_is_done():
    rule = guides_rule(4)
    for words in ("up to 4 images", "never the image itself", "junk", "camera", "True identities", "SMA"):
        assert words in rule


def test_mistakes_say_what_to_do():
    ids, cams, features = crowd(2)
    with pytest.raises(FeatmaskError, match="at least two identities"):
        choose_guides([1, 1], [0, 1], [0, 1], features[:2], features[:2], [1, 1], [0, 1])
    with pytest.raises(FeatmaskError, match="at least two identities"):
        choose_guides([1, 1], [0, 1], [0, 1], features[:2], features[:2], [1, 2], [0, 1], exclude=[2])
    with pytest.raises(FeatmaskError, match="60 integers"):
        choose_guides(ids[:5], cams, range(60), features, features, ids, cams)
    with pytest.raises(FeatmaskError, match="pool_ids as 60 integers"):
        choose_guides(ids, cams, range(60), features, features, ids * 0.5, cams)
    with pytest.raises(FeatmaskError, match="length 5, those of the pool 4"):
        choose_guides(ids, cams, range(60), features, features[:, :4], ids, cams)
    with pytest.raises(FeatmaskError, match="finite"):
        choose_guides(ids, cams, range(60), features / 0, features, ids, cams)
    with pytest.raises(FeatmaskError, match="1 or more"):
        choose_guides(ids, cams, range(60), features, features, ids, cams, count=0)
