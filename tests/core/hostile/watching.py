"""Sees every file that Python opens and every socket, while something of a stranger is judged."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.reading.ceiling import STATM

_OWN = tuple(
    os.path.realpath(place)
    for place in {sys.prefix, sys.base_prefix, *filter(None, sys.path), Path(__file__).parents[3]}
)
"""Where the program and its libraries lie; reading those is no harm."""


@dataclass
class Seen:
    """What happened while it was watched."""

    opened: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)

    def outside(self, folder: Path) -> list[str]:
        """Files that were opened and lie neither in the folder nor with the program."""
        home = os.path.realpath(folder)
        opened = [path for path in self.opened if path != str(STATM)]
        return [path for path in opened if not _within(path, (home, *_OWN))]


def _within(path: str, places: tuple[str, ...]) -> bool:
    real = os.path.realpath(path)
    return any(real == place or real.startswith(place + os.sep) for place in places)


_watching: list[Seen] = []


def _hook(event: str, given: tuple[Any, ...]) -> None:
    """Python keeps a hook for ever; outside of `watch` this one does nothing."""
    if not _watching:
        return
    if event == "open" and isinstance(given[0], str | bytes):
        _watching[-1].opened.append(os.fsdecode(given[0]))
    elif event.startswith("socket."):
        _watching[-1].sockets.append(event)
    elif event.startswith(("os.system", "os.exec", "os.posix_spawn", "subprocess.")):
        _watching[-1].started.append(event)


sys.addaudithook(_hook)


@contextmanager
def watch() -> Iterator[Seen]:
    """Everything from here to the end of the block."""
    _watching.append(Seen())
    try:
        yield _watching[-1]
    finally:
        _watching.pop()
