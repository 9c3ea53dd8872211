"""Attacks on a classifier: a callable, pixels in [0, 1] and a budget; nothing here knows data, models or training."""

from .gradient import Attack, fgsm, pgd, run

__all__ = ["Attack", "fgsm", "pgd", "run"]
