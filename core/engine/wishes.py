"""What the user wants of a running engine: the control file and the system's signals."""

from __future__ import annotations

import signal
from types import FrameType

from core.engine.faults import Stopped
from core.rundir import Command, RunDir


class Wishes:
    """Each wish is obeyed once, at the end of a step; those made before the start are old."""

    def __init__(self, run: RunDir, serial: int) -> None:
        self._run = run
        self._obeyed = serial
        self._told_to_end = False
        self.training = False
        """Whether steps are being taken, so that stopping can wait for the end of one."""

    def listen(self) -> None:
        """Let SIGTERM mean stop: systems send it at log-off and shutdown."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._told_to_end = True
        if not self.training:
            raise Stopped

    def next(self) -> Command:
        """The newest wish not obeyed yet, or "none"."""
        if self._told_to_end:
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
