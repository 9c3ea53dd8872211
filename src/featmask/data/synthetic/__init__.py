"""Rendered pedestrians in the Market-1501 layout: a re-identification set with a known truth that needs no download."""

from __future__ import annotations

from .layout import render_world
from .sheet import contact_sheet
from .world import World

__all__ = ["World", "contact_sheet", "render_world"]
