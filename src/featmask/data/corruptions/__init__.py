"""Common corruptions: the fifteen of Hendrycks and Dietterich 2019, for any images, and readers of published sets.

``tables`` holds the published constants, ``noise``, ``blur``, ``weather`` and ``digital`` what each corruption does,
``apply`` the one function that users call, ``published`` the readers of CIFAR-10-C and ImageNet-C.
"""

from .apply import corrupt
from .published import CorruptedSet, open_corrupted
from .tables import CORRUPTIONS, FROST, SEVERITIES, severity_table

__all__ = ["CORRUPTIONS", "FROST", "SEVERITIES", "CorruptedSet", "corrupt", "open_corrupted", "severity_table"]
