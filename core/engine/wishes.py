"""What the user wants of a running engine: the control file and the system's signals."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from core.engine.faults import Stopped
from core.rundir import Command, RunDir

POLL, GRACE = 0.25, 1.25
"""Seconds between two looks, and until a process that cannot be interrupted is ended."""


class Wishes:
    """Each wish is obeyed once, at the end of a step; those made before the start are old."""

    def __init__(self, run: RunDir, serial: int) -> None:
        self._run = run
        self._obeyed = serial
        self.closed = threading.Event()
        """Set when the run is over: nobody need attend to wishes any more."""
        self._told_to_end = False
        self.training = False
        """Whether steps are being taken, so that stopping can wait for the end of one."""

    def listen(self, last_word: Callable[[], None]) -> None:
        """Let SIGTERM mean stop: systems send it at log-off and shutdown.

        A wish to stop is also heard while a library loads or reads, where nobody looks: it is cut
        short, or, when even that takes too long, the process ends after `last_word`. Nothing is
        half written then: files are whole or absent.
        """
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
        threading.Thread(target=self._attend, args=(last_word,), daemon=True).start()

    def _attend(self, last_word: Callable[[], None]) -> None:
        """Runs beside the preparation and what follows the training; steps end by themselves."""
        while not self.closed.wait(POLL):
            wish = self._run.control()
            if self.training or wish.serial == self._obeyed or wish.command != "stop":
                continue
            _thread.interrupt_main(signal.SIGTERM)
            if not self.closed.wait(GRACE) and not self.training:
                last_word()
                os._exit(0)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._told_to_end = True
        if not self.training:
            raise Stopped

    def next(self) -> Command:
        """The newest wish not obeyed yet, or "none"."""
        if self._told_to_end:
            return "stop"
        wish = self._run.control()
        if wish.serial == self._obeyed:
            return "none"
        self._obeyed = wish.serial
        return wish.command

    def look(self) -> None:
        """Between two pieces of the preparation. Raises Stopped."""
        if self.next() == "stop":
            raise Stopped
