"""The run's log as the engine writes it: whole lines, each once, in order, whatever the disk does.

What the disk does not take waits in memory and is written before the next line. Training does not
wait for it.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from contextlib import suppress
from io import FileIO
from pathlib import Path

from core import disk, durable
from core.events import Warned, encode

RING = 20_000
"""Lines that wait at most; then the oldest are given up, and the log will say how many."""


class EventLog:
    """Appends to a file; cuts a torn last line that a killed engine may have left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO = disk.current.reopen(path)
        self._end, self.last = _mended(self._file)
        try:
            disk.current.truncate(self._file, self._end)
        except OSError:
            self._file.close()
            raise
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._torn = self._unsafe = self._told = False

    def append(self, line: bytes, *, safe: bool = False) -> None:
        """Write a line; a `safe` one then outlives a power cut, if the disk lets it."""
        if len(self._waiting) >= RING:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(line)
        self._unsafe |= safe
        self._try_to_write()

    def secure(self) -> None:
        """Let every line so far outlive a power cut, if the disk lets it."""
        self._unsafe = True
        self._try_to_write()

    @property
    def closed(self) -> bool:
        """Whether nothing more is written."""
        return self._file.closed

    def close(self) -> None:
        """The last attempt."""
        with suppress(OSError):
            self._write()
        with suppress(OSError):
            self._file.close()

    def _try_to_write(self) -> None:
        try:
            self._write()
        except OSError as error:
            self._complain(error)

    def _write(self) -> None:
        if self._torn:
            disk.current.truncate(self._file, self._end)
        if self._waiting:
            lines = b"".join([*self._confession(), *self._waiting])
            self._torn = True
            disk.current.write(self._file, lines)
            self._end += len(lines)
            self._waiting.clear()
            self._lost = 0
        self._torn = False
        if self._unsafe:
            durable.settle(self._path)
            self._unsafe = False

    def _confession(self) -> list[bytes]:
        if not self._lost:
            return []
        text = f"{self._lost:,} events are missing here: the disk did not take them."
        return [encode(Warned(code="events-lost", text=text))]

    def _complain(self, error: OSError) -> None:
        """Once, and not where it might fail as well."""
        if not self._told:
            self._told = True
            with suppress(OSError):
                reason = error.strerror or str(error)
                print(f"events wait in memory, the log takes none: {reason}", file=sys.stderr)
                sys.stderr.flush()


def _mended(file: FileIO) -> tuple[int, int]:
    """Where the last readable line ends, and its number: a killed engine or a power cut may have
    left lines behind it that are torn."""
    end = _line_end(file, file.seek(0, os.SEEK_END))
    while end:
        start = _line_end(file, end - 1)
        file.seek(start)
        try:
            number = int(json.loads(file.read(end - start)).get("seq", 0))
        except (ValueError, AttributeError, RecursionError):
            end = start
        else:
            return end, number or _lines(file, end)
    return 0, 0


def _lines(file: FileIO, end: int) -> int:
    """Lines before this place: the events of old runs have no numbers."""
    file.seek(0)
    return file.read(end).count(b"\n")


def _line_end(file: FileIO, size: int) -> int:
    """Where the last whole line before this place ends."""
    while size:
        start = max(0, size - 65_536)
        file.seek(start)
        newline = file.read(size - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0
