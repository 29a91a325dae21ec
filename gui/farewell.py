"""Sleep or shutdown at the end of the queue, after a minute in which anybody can say no."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtWidgets import QWidget

from core import power
from core.errors import CoreError
from gui import messages
from gui.background import Task
from gui.queue_desk import QueueDesk

SECOND_MS = 1_000


class Farewell(QObject):
    """Counts down in a box of its own; closing the window is a no as well."""

    def __init__(self, desk: QueueDesk, window: QWidget) -> None:
        super().__init__(window)
        self.desk, self._window = desk, window
        self._left = 0
        self._action: power.Action = "sleep"
        self._second = QTimer(self, interval=SECOND_MS)
        self._second.timeout.connect(self._tick)
        desk.farewell.connect(self.begin)

    @Slot(str)
    def begin(self, action: power.Action) -> None:
        """Tell what is about to happen."""
        self._action, self._left = action, power.COUNTDOWN
        answers = {"&Cancel": lambda: None}
        self.box = messages.ask(self._window, self._sentence(), "The queue is done.", answers)
        self.box.finished.connect(self._closed)
        self._second.start()

    @Slot()
    def _closed(self) -> None:
        """By its button, by Escape, or by its frame: all of them mean no."""
        if self._second.isActive():
            self._second.stop()
            try:
                self.desk.keeper.stay()
            except CoreError as error:
                self._warn(error)
            self.desk.look()

    def _sentence(self) -> str:
        plural = "s" if self._left != 1 else ""
        return f"{power.SENTENCES[self._action]} in {self._left} second{plural}."

    @Slot()
    def _tick(self) -> None:
        self._left -= 1
        if self._left > 0:
            self.box.setText(self._sentence())
            return
        self._second.stop()
        self.box.close()
        action = self._action
        task = Task(self, lambda: self.desk.keeper.farewell(action))
        task.then(lambda _: self.desk.look()).failed(self._warn).start()

    def _warn(self, error: CoreError) -> None:
        messages.tell_error(self._window, error)
        self.desk.look()
