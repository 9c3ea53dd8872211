"""From runs on disk to pages that a person reads. Nothing here imports torch."""

from .write import write_report

__all__ = ["write_report"]
