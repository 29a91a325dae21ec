"""What a library takes of the memory while it unpacks a stranger's table."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATM = Path("/proc/self/statm")
"""What Linux tells a process about its own memory (proc(5))."""
_ONE = threading.Lock()
"""The limit is the whole process's, so one table is unpacked at a time."""


@contextmanager
def under_ceiling(most: int) -> Iterator[None]:
    """This process may take `most` bytes more inside; whoever asks for further ones is refused.

    Python and well-behaved libraries say MemoryError then. Linux alone keeps such a limit for all
    that a process asks for; elsewhere nothing is limited.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    with _ONE:
        before = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = _taken() + most
        if any(limit != resource.RLIM_INFINITY and limit <= wanted for limit in before):
            yield  # whoever started this process wants even less
            return
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, before)


def _taken() -> int:
    """Bytes of this process's own data, as the limit counts them."""
    import resource

    return int(STATM.read_bytes().split()[5]) * resource.getpagesize()
