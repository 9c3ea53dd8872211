"""Scoring and re-ranking of a retrieval, person re-identification before all: exact, fast and with its rules named."""

from __future__ import annotations

from .ranking import Ranking, rank
from .reranking import rerank
from .scoring import RetrievalScores, evaluate

__all__ = ["Ranking", "RetrievalScores", "evaluate", "rank", "rerank"]
