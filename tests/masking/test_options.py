"""Mistakes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featmask.errors import FeatmaskError
from featmask.functional import local_feature_masking, published_feature_masking
from oracles.plans import SHAPE


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("p", -0.1),
        ("p", 1.5),
        ("p", float("nan")),
        ("p", "0.1"),
        ("p", True),
        ("p", None),
        ("channels", 0.0),
        ("channels", 1.1),
        ("channels", -1),
        ("area", 0.2),
        ("area", (0.4, 0.02)),
        ("area", (0.0, 0.4)),
        ("area", (0.1, 1.2)),
        ("area", (0.1, 0.2, 0.3)),
        ("area", (0.1, "0.2")),
        ("area", None),
        ("aspect", (0.0, 3.0)),
        ("aspect", (3.0, 0.3)),
        ("aspect", (0.3, float("inf"))),
        ("aspect", (0.3, float("nan"))),
        ("fill", "random"),
        ("fill", None),
        ("fill", True),
        ("fill", float("nan")),
        ("per", "channel"),
        ("first", 0),
        ("first", -3),
        ("first", 2.0),
        ("first", True),
    ],
)
def test_a_bad_option_is_named_with_what_was_expected_and_what_came(option, value):
    mask = published_feature_masking if option == "first" else local_feature_masking
    with pytest.raises(FeatmaskError) as caught:
        mask(torch.randn(SHAPE), **{option: value})
    message = str(caught.value)
    assert message.startswith(f"{option}: expected ")
    assert repr(value) in message


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.randn(3, 8, 8), ("4 dimensions", "got 3", "(3, 8, 8)")),
        (torch.randn(8), ("4 dimensions", "got 1")),
        (torch.randn(1, 2, 3, 8, 8), ("4 dimensions", "got 5")),
        (torch.ones(1, 2, 8, 8, dtype=torch.int64), ("float32", "int64")),
        (torch.ones(1, 2, 8, 8, dtype=torch.uint8), ("float32", "uint8")),
        (torch.ones(1, 2, 8, 8, dtype=torch.bool), ("float32", "bool")),
        (torch.ones(1, 2, 8, 8, dtype=torch.complex64), ("float32", "complex64")),
        (torch.ones(1, 2, 8, 8).to(torch.float8_e4m3fn), ("float32", "float8")),
        (np.ones((1, 2, 8, 8)), ("tensor", "ndarray")),
        ([1.0], ("tensor", "list")),
    ],
)
def test_a_bad_input_is_told(x, said):
    for mask in (local_feature_masking, published_feature_masking):
        with pytest.raises(FeatmaskError) as caught:
            mask(x)
        assert all(part in str(caught.value) for part in said)
