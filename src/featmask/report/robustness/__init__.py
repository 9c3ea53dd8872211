"""The report of one or several robustness evaluations, from the records that they left in folders.

``read`` reads a folder, ``figures`` computes from its samples, ``strength``, ``checks`` and ``verdict`` say in words
what the figures are worth, ``tables``, ``glance``, ``corrupted``, ``curves`` and ``diagrams`` lay them out, ``run``
tells what was run, ``page``, ``text`` and ``write`` make the files.
"""

from .write import write_robustness

__all__ = ["write_robustness"]
