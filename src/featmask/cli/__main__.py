"""``python -m featmask.cli``."""

from .application import (
    app,  # noqa: F401 - with every verb
    main,
)

main()
