"""``python -m featmask.cli``."""

from . import app  # noqa: F401 - with every verb
from .application import main

main()
