"""What the user wants of a running engine: the control file and the system's signals."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from core.engine.faults import Stopped
from core.rundir import Command, RunDir


class Wishes:
    """Each wish is obeyed once, at the end of a step; those made before the start are old."""

    def __init__(self, run: RunDir, serial: int) -> None:
        self._run = run
        self._obeyed = serial
        self.told_to_end = False
        """Whether the system asked, at log-off or shutdown."""
        self.training = False
        """Whether steps are being taken, so that stopping can wait for the end of one."""

    def listen(self, insist: Callable[[], None]) -> None:
        """Let SIGTERM mean stop: systems send it at log-off and shutdown.

        `insist` is called at once when no steps are taken, and sees to it that the end comes.
        """
        self._insist = insist
        for name in ("SIGTERM", "SIGBREAK"):  # the second is what Windows has
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us

    def _end(self, number: int, frame: FrameType | None) -> None:
        first, self.told_to_end = not self.told_to_end, True
        if first and not self.training:
            self._insist()
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
