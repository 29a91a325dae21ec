"""A thread that reads what a run says and hands it to the window in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from PySide6.QtCore import QObject, QSemaphore, QThread, Signal

from core.causes import Cause
from core.errors import CoreError, RunError
from core.events import Event
from core.launch import follow
from core.rundir import RunDir

BATCH = 2_000
"""Events per signal: folding this many keeps the window below one frame."""
AHEAD = 2
"""Batches read before the window has folded them: a long story must not pile up in memory."""
POLL_MS = 50
"""How often a thread that waits for the window looks whether it should leave."""


class Follower(QThread):
    """Follows one run until its engine is gone or `stop` is called. Reads only, decides nothing."""

    batch = Signal(object, object)
    """Itself and a list of events, oldest first; itself so that a late batch can be told apart.

    Whoever takes a batch says `folded` afterwards.
    """
    failed = Signal(object, object)
    """Itself and the CoreError that ended the reading."""

    def __init__(
        self,
        run: RunDir,
        alive: Callable[[], bool],
        cause: Callable[[], Cause] | None = None,
        parent: QObject | None = None,
    ) -> None:
        """`cause` tells why the engine is gone; only whoever started it knows."""
        super().__init__(parent)
        self._run, self._alive, self._cause = run, alive, cause
        self._room = QSemaphore(AHEAD)

    def run(self) -> None:
        """The thread's work; called by Qt."""
        try:
            for events in self._batches():
                for chunk in _chunks(events):
                    if not self._wait_for_room():
                        return
                    self.batch.emit(self, chunk)
        except CoreError as error:
            self.failed.emit(self, error)
        except Exception as error:  # noqa: BLE001 - the boundary: nothing may vanish in a thread
            self.failed.emit(self, _unreadable(self._run, error))

    def folded(self) -> None:
        """There is room for one more batch."""
        self._room.release()

    def stop(self) -> None:
        """Stop reading and wait for the thread; the engine is left alone."""
        self.requestInterruption()
        self.wait()

    def _wait_for_room(self) -> bool:
        """False when the thread should leave instead."""
        while not self.isInterruptionRequested():
            if self._room.tryAcquire(1, POLL_MS):
                return True
        return False

    def _batches(self) -> Iterator[list[Event]]:
        """A run that is over is only read: it did not die before our eyes."""
        if self._alive():
            leave = self.isInterruptionRequested
            return follow(self._run, self._alive, cause=self._cause, detach=leave)
        return _chunks(self._run.events())


def _chunks(events: Iterable[Event]) -> Iterator[list[Event]]:
    rest = iter(events)
    while chunk := list(islice(rest, BATCH)):
        yield chunk


def _unreadable(run: RunDir, error: Exception) -> RunError:
    return RunError(
        f"The run {run.root.name} cannot be read any further: {error}.",
        hint="Training itself is not touched by this. Open the run again from the list.",
    )
