"""``python -m featmask.cli``."""

from . import main

main()
