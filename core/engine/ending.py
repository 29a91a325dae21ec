"""An engine that is told to end while a library does not listen."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

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


def _end(voice: Voice, interrupted: bool) -> None:
    time.sleep(PATIENCE)
    voice.say_last(Finished(stopped=True, interrupted=interrupted))
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
    os._exit(INTERRUPTED if interrupted else 0)
