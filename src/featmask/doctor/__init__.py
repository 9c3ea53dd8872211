"""Does a figure of robustness of this model deserve trust? Checks of the set-up, of gradients, and of attacks."""

from .diagnosis import Check, Diagnosis
from .examining import examine

__all__ = ["Check", "Diagnosis", "examine"]
