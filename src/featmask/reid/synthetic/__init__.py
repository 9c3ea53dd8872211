"""Rendered pedestrians in the Market-1501 layout: a re-identification set with a known truth that needs no download."""

from .layout import render_world
from .sheet import contact_sheet
from .world import World, make_world

__all__ = ["World", "contact_sheet", "make_world", "render_world"]
