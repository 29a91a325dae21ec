"""How an engine ends: told to while a library does not listen, and when its work is done."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

import psutil

from core.engine.emit import Voice
from core.events import Finished

PATIENCE = 1.2
"""Seconds in which loading, tokenising or scoring may end by themselves."""
INTERRUPTED = 143
"""The exit status of a process that SIGTERM has ended."""


def insist(voice: Voice, *, interrupted: bool) -> None:
    """Let this process end within `PATIENCE`, whatever its main thread is doing then.

    `interrupted` says whether the system wants it, not the user.
    Folders that are being written stay under their staging names, which the next engine sweeps.
    """
    threading.Thread(target=_end, args=(voice, interrupted), daemon=True).start()


def leave(status: int) -> NoReturn:
    """End this process, whose work is done, without the seconds in which torch is taken apart."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the log's disk may be full
            stream.flush()
    _kill_children()
    os._exit(status)


def _end(voice: Voice, interrupted: bool) -> None:
    time.sleep(PATIENCE)
    voice.say_last(Finished(stopped=True, interrupted=interrupted))
    _kill_children()
    os._exit(INTERRUPTED if interrupted else 0)


def _kill_children() -> None:
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
