"""Any shape, any options."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featmask.functional import masked
from featmask.masking.options import DTYPES, Options
from featmask.masking.traced import mask_traced
from oracles import naive
from oracles.plans import FILLS, bits

options = st.builds(
    Options,
    p=st.floats(0.3, 1.0),
    channels=st.floats(0.01, 1.0),
    area=st.tuples(st.floats(0.001, 0.3), st.floats(0.3, 1.0)),
    aspect=st.tuples(st.floats(0.05, 1.0), st.floats(1.0, 20.0)),
    fill=st.sampled_from(FILLS),
    per=st.sampled_from(["sample", "batch"]),
)
shapes = st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(1, 20), st.integers(1, 20))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(shape=shapes, options=options, seed=st.integers(0, 2**32), dtype=st.sampled_from(DTYPES))
def test_any_described_mask(shape, options, seed, dtype):
    torch.manual_seed(seed)
    x = torch.randn(shape).to(dtype)
    y, plan = masked(x, options)
    n, c, height, width = shape
    sample, channel, top, bottom, left, right = plan.boxes.T
    assert ((sample >= 0) & (sample < n) & (channel >= 0) & (channel < c)).all()
    assert ((top >= 0) & (top < bottom) & (bottom <= height) & (left >= 0) & (left < right) & (right <= width)).all()
    assert ((bottom - top < height) & (right - left < width)).all()
    assert len(np.unique(plan.boxes[:, :2], axis=0)) == len(plan) <= n * options.count(c)
    inside = plan.mask()
    assert torch.equal(bits(y)[~inside], bits(x)[~inside])
    for s, ch, t, b, le, r in plan.boxes.tolist():
        assert naive.rectangle_of(inside[s, ch]) == (t, b, le, r)
    if options.fill == "uniform":
        assert ((y[inside] >= 0) & (y[inside] < 1)).all()
    assert y.dtype == dtype


@settings(max_examples=60, deadline=None, derandomize=True)
@given(shape=shapes, options=options, seed=st.integers(0, 2**32), first=st.integers(1, 5))
def test_any_published_or_traced_mask(shape, options, seed, first):
    torch.manual_seed(seed)
    x = torch.full(shape, -1.0)
    strip = Options(p=options.p, channels=options.channels, area=options.area, published=True, first=first)
    for y in (masked(x, strip)[0], mask_traced(x, strip)):
        rows = (y != x).any(3, keepdim=True)
        assert torch.equal(y != x, rows.expand(shape)), "full width"
        assert torch.equal(y, y[..., :1].expand(shape)), "one number a row"
        assert not rows[first:].any()
    if x.numel():
        inside = mask_traced(x, Options(p=options.p, channels=options.channels, area=options.area)) != x
        for plane in inside.flatten(0, 1):
            assert not plane.any() or naive.rectangle_of(plane) is not None
