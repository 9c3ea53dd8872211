"""The command line. Heavy imports happen inside the verbs, so that ``featmask --help`` answers at once."""

from . import evaluating, looking, reporting, retrieval, runs, sets
from .application import app, main

__all__ = ["app", "evaluating", "looking", "main", "reporting", "retrieval", "runs", "sets"]
