"""A download from the Hub as it is seen: progress, Cancel, and how it ended."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QApplication, QProgressBar, QVBoxLayout, QWidget

from core import hub, offline
from core.errors import CoreError
from core.numbers import show_bytes
from gui.background import Task
from gui.offline import switch
from gui.widgets import Notice, PlainLabel, QuietButton, row

_PERMILLE = 1000


class Download(QWidget):
    """One download at a time, by a process of its own; an interrupted one is gone on with."""

    complete = Signal(str)
    """What is on this computer now, by the name it was asked for."""
    moved = Signal()
    """It began or ended."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fetch: hub.Fetch | None = None
        self.progress = QProgressBar()
        self.progress.setRange(0, _PERMILLE)
        self.progress.setAccessibleName("Download")
        self.status, self.notice = PlainLabel("", "muted"), Notice()
        self.stop = QuietButton("Cancel", "x")
        self.stop.clicked.connect(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.progress, self.status, self.notice):
            column.addWidget(widget)
            widget.hide()
        column.addLayout(row(self.stop))
        self.progress.hide()
        self.stop.hide()
        switch().changed.connect(self._obey)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.cancel)

    @property
    def busy(self) -> bool:
        """Whether something is being downloaded."""
        return self._fetch is not None

    def begin(self, fetch: hub.Fetch) -> None:
        """Follow a download that was just started."""
        self._fetch = fetch
        self.notice.hide()
        self.progress.setValue(0)
        self.say(f"Downloading {fetch.model_id} …")
        task = Task(self, lambda: _follow(fetch, task))
        task.progress(self._advance).then(lambda _: self._ended(fetch)).failed(self.failed).start()
        self._show_busy()

    def cancel(self) -> None:
        """End the download; the next one goes on where it stopped."""
        if self._fetch is not None:
            self._fetch.cancel()

    def _obey(self) -> None:
        """What goes on when the network is closed ends; it goes on another time."""
        if offline.hub_reason():
            self.cancel()

    def say(self, text: str) -> None:
        """One line on what goes on; empty for nothing."""
        self.status.setText(text)
        self.status.setVisible(bool(text))
        if text:
            self.notice.hide()

    def failed(self, error: CoreError) -> None:
        """Say what went wrong."""
        self._fetch = None
        self.say("")
        self.notice.show_as("bad", f"{error} {error.hint}".strip())
        self.notice.show()
        self._show_busy()

    def _advance(self, at: hub.FetchProgress) -> None:
        if at.total:
            self.progress.setValue(round(_PERMILLE * at.done / at.total))
        self.say(f"{show_bytes(at.done)} of {show_bytes(at.total)}: {at.file}")

    def _ended(self, fetch: hub.Fetch) -> None:
        self._fetch = None
        self.say("")
        if fetch.folder is None:
            self.notice.show_as("note", "Cancelled. The next download goes on from here.")
        else:
            self.notice.show_as("ok", f"{fetch.model_id} is on this computer.")
            self.complete.emit(fetch.model_id)
        self.notice.show()
        self._show_busy()

    def _show_busy(self) -> None:
        self.progress.setVisible(self.busy)
        self.stop.setVisible(self.busy)
        self.moved.emit()


def _follow(fetch: hub.Fetch, task: Task) -> None:
    """Runs beside the window until the download ends."""
    for at in fetch.progress():
        task.report(at)
