"""Background work that says how far it is and can be called off."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Signal

from core.dataset import Heed
from core.errors import CoreError
from gui.background import Task


class Errand(QObject):
    """One piece of work at a time over the rows of a dataset; a new one ends the old one."""

    moved = Signal()
    """It began, got further or ended."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.rows = 0
        """Rows seen so far."""
        self._task: Task | None = None
        self._halt = Event()
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.stop)

    @property
    def busy(self) -> bool:
        """Whether work is going on."""
        return self._task is not None

    def begin(
        self,
        work: Callable[[Heed], Any],
        then: Callable[[Any], object],
        failed: Callable[[CoreError], object],
    ) -> None:
        """Start `work`, which is handed what it must tell its progress to."""
        self.stop()
        halt = self._halt = Event()
        self.destroyed.connect(halt.set)

        def heed(rows: int) -> None:
            if halt.is_set():
                raise CoreError("Stopped.")
            task.report(rows)

        task = Task(self, lambda: work(heed))
        task.progress(self._further)
        task.then(lambda result: self._end(then, result))
        task.failed(lambda error: self._end(failed, error))
        self._task, self.rows = task, 0
        task.start()
        self.moved.emit()

    def stop(self) -> None:
        """Call the work off; its result is dropped."""
        self._halt.set()
        if self._task is not None:
            self._task.forget()
            self._task = None
            self.moved.emit()

    def _further(self, rows: int) -> None:
        self.rows = rows
        self.moved.emit()

    def _end(self, tell: Callable[[Any], object], result: object) -> None:
        self._task = None
        tell(result)
        self.moved.emit()
