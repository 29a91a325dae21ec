"""Everything that runs do to the disk, one call each, so that tests can let any of them fail.

`current` is the disk in use. Tests put another in its place: one that fails at its n-th call, or
one that records every call and rebuilds what a power cut would have left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path


class Disk:
    """The real one. Every method raises OSError, and none of them tries twice."""

    def create(self, path: Path) -> FileIO:
        """A new file, or an old one emptied."""
        return FileIO(path, "wb")

    def reopen(self, path: Path) -> FileIO:
        """A file that is there, to be read and written in place."""
        return FileIO(path, "r+b")

    def write(self, file: FileIO, data: bytes) -> None:
        """All of it, at the file's place: the system may take it in parts."""
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]

    def truncate(self, file: FileIO, size: int) -> None:
        """Cut what lies behind so many bytes, and go on writing there."""
        file.truncate(size)
        file.seek(size)

    def sync(self, path: Path) -> None:
        """Wait until a file's bytes, or a folder's names, would outlive a power cut."""
        if path.is_dir() and os.name == "nt":
            return  # Windows cannot open a directory for fsync; its journal orders the rename
        handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, old: Path, new: Path) -> None:
        """Another name; a file that has it already is replaced."""
        old.replace(new)

    def unlink(self, path: Path) -> None:
        """Remove a file or a link."""
        path.unlink()

    def mkdir(self, path: Path) -> None:
        """A new folder in one that is there."""
        path.mkdir()

    def rmdir(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()

    def wait(self, seconds: float) -> None:
        """Let some time pass before another attempt."""
        time.sleep(seconds)


current = Disk()


@contextmanager
def using(other: Disk) -> Iterator[None]:
    """Let another disk take the calls for a while."""
    global current
    before, current = current, other
    try:
        yield
    finally:
        current = before
