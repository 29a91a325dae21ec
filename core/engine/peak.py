"""The most memory of the computer that this process has had."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import psutil

_SELF = Path("/proc/self")


def forget_peak() -> None:
    """Let the peak be what is used now, where the system can; elsewhere it is that of all time."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # some containers do not let it be written
            (_SELF / "clear_refs").write_text("5")


def peak_of_this_process() -> int:
    """Bytes. On Linux not `ru_maxrss`, which begins with the peak of the parent process."""
    if sys.platform == "linux":
        for line in (_SELF / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
