"""What evaluations of every field share: a frozen model, batches that fit into memory, a journal, the record."""

from .frozen import Evaluation, frozen

__all__ = ["Evaluation", "frozen"]
