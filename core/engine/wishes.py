"""What the user wants of a running engine: the control file and the system's signals."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable
from types import FrameType

from core.engine.faults import Stopped
from core.rundir import Command, RunDir

POLL = 0.25
"""Seconds between two looks."""


class Wishes:
    """Each wish is obeyed once, at the end of a step; those made before the start are old."""

    def __init__(self, run: RunDir, serial: int) -> None:
        self._run = run
        self._obeyed = serial
        self.told_to_end = False
        """Whether the system asked, at log-off or shutdown."""
        self.closed = threading.Event()
        """Set when the run is over: nobody need attend to wishes any more."""
        self.training = False
        """Whether steps are being taken, so that stopping can wait for the end of one."""
        self._asked = self._ending = self._again = False

    def hear(self, insist: Callable[[bool], None], busy: Callable[[], bool]) -> None:
        """Let SIGTERM mean stop: systems send it at log-off and shutdown.

        A wish to stop is also heard while a library loads or reads, where nobody looks. `insist`
        is called at once when no steps are taken, and sees to it that the end comes; it is told
        whether the system wants it. Nothing is half written then: files are whole or absent, and
        while the main thread is `busy` with a line of the log, the end waits for that line.
        """
        self._insist, self._busy = insist, busy
        for name in ("SIGTERM", "SIGBREAK"):  # the second is what Windows has
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
        threading.Thread(target=self._attend, daemon=True).start()

    def _attend(self) -> None:
        """Runs beside the preparation and what follows the training; steps end by themselves."""
        while not self.closed.wait(POLL):
            wish = self._run.control()
            asked = wish.serial != self._obeyed and wish.command == "stop"
            if self._again or (asked and not self.training):
                self._asked, self._again = True, False
                _thread.interrupt_main(signal.SIGTERM)

    def _end(self, number: int, frame: FrameType | None) -> None:
        asked, self._asked = self._asked, False
        self.told_to_end |= not asked
        if self._ending or self.training or self.closed.is_set():
            return
        self._again = self._busy()
        if not self._again:
            self._ending = True
            self._insist(self.told_to_end)
            raise Stopped

    def next(self) -> Command:
        """The newest wish not obeyed yet, or "none"."""
        if self.told_to_end:
            return "stop"
        wish = self._run.control()
        if wish.serial in (0, self._obeyed):  # 0: nothing was asked, or it cannot be read now
            return "none"
        self._obeyed = wish.serial
        return wish.command

    def look(self) -> None:
        """Between two pieces of the preparation. Raises Stopped."""
        if self.next() == "stop":
            raise Stopped
