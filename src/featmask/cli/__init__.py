"""The command line. Heavy imports happen inside the verbs, so that ``featmask --help`` answers at once."""

from . import checkpoints, looking, runs, sets
from .application import app, main

__all__ = ["app", "checkpoints", "looking", "main", "runs", "sets"]
