"""Does a figure of robustness of this model deserve trust? Checks of the set-up, of gradients, and of attacks."""

from ..records.doctor import Check
from .diagnosis import Diagnosis
from .examining import examine

__all__ = ["Check", "Diagnosis", "examine"]
