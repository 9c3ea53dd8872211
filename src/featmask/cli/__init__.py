"""The command line. Heavy imports happen inside the verbs, so that ``featmask --help`` answers at once."""

from . import evaluating, looking, retrieval, runs, sets
from .application import app, main

__all__ = ["app", "evaluating", "looking", "main", "retrieval", "runs", "sets"]
