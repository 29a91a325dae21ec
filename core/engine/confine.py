"""What an engine process gives up before it opens a stranger's file."""

from __future__ import annotations

import sys
from contextlib import suppress

from core.places import compiled_home


def confine() -> None:
    """Leave no image of the memory behind, with rows and weights in it, when a library crashes.

    The cache of compiled programs can be read and written by its owner alone.
    """
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # then nothing is kept, or the library says why it cannot
        compiled_home().mkdir(mode=0o700, parents=True, exist_ok=True)
