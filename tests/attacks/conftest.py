"""What tests of several attacks need."""

from __future__ import annotations

import sys

import pytest

from featmask.attacks import autoattack


@pytest.fixture
def short(monkeypatch):
    """8 steps and 40 queries, of the library and of what takes its place."""
    pytest.importorskip("pyautoattack")
    inside = sys.modules["pyautoattack.autoattack"]

    def cut(name):
        original = getattr(inside, name)

        class Cut(original):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **{**kwargs, **({"n_iter": 8} if "n_iter" in kwargs else {})})

            n_queries = property(lambda self: 40, lambda self, value: None)

        monkeypatch.setattr(inside, name, Cut)

    for name in ("APGDAttack", "APGDAttack_targeted", "FABAttack_PT", "SquareAttack"):
        cut(name)
    monkeypatch.setattr(autoattack, "STEPS", 8)
    monkeypatch.setattr(autoattack, "QUERIES", 40)
