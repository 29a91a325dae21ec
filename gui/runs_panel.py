"""Every run on this computer, newest first, and how it stands."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from core.errors import CoreError
from core.places import runs_home
from core.rundir import RunDir, RunSummary, summarise
from gui.background import Task
from gui.text import tip
from gui.widgets import Chip, Heading, IconButton, Level, PlainLabel

REFRESH_MS = 3_000
MOST = 100
"""Runs listed; older ones are still on disk and can be opened from the menu."""
ITEM_PADDING = 12
"""What the style sheet keeps free above and below an item."""
_LEVELS: dict[str, Level | None] = {
    "running": "note",
    "paused": "warn",
    "finished": "ok",
    "failed": "bad",
    "stopped": None,
    "interrupted": "warn",
    "waiting": None,
}
Known = dict[Path, tuple[int, RunSummary]]


class RunsPanel(QWidget):
    """Looks at the disk in the background while it is visible; reads again only what grew."""

    chosen = Signal(str)
    """The folder of the run to show."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known: Known = {}
        self._task: Task | None = None
        self._shown: tuple[RunSummary, ...] | None = None
        self._lay_out()
        self._timer = QTimer(self, interval=REFRESH_MS)
        self._timer.timeout.connect(self.refresh)

    def refresh(self) -> None:
        """Look again; a look that is still under way is enough."""
        if self._task is None:
            home, known = runs_home(), dict(self._known)
            task = Task(self, lambda: look(home, known))
            self._task = task.then(self._take).failed(self._warn).start()

    def showEvent(self, event: QShowEvent) -> None:
        """Look at once, and every few seconds."""
        super().showEvent(event)
        self.refresh()
        self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        """Rest."""
        super().hideEvent(event)
        self._timer.stop()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        again = IconButton("refresh-cw", "Look for runs again")
        again.clicked.connect(self.refresh)
        head.addWidget(Heading("Runs"), 1)
        head.addWidget(again)
        self.empty = PlainLabel("No runs yet. The first one appears here.", "small")
        self.list = QListWidget()
        self.list.setObjectName("runs")
        self.list.setAccessibleName("Runs")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.itemClicked.connect(self._choose)
        self.list.itemActivated.connect(self._choose)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(head)
        column.addWidget(self.empty)
        column.addWidget(self.list, 1000)
        column.addStretch(1)
        self.list.hide()

    def _choose(self, item: QListWidgetItem) -> None:
        self.chosen.emit(item.data(Qt.ItemDataRole.UserRole))

    def _take(self, known: Known) -> None:
        self._task, self._known = None, known
        runs = tuple(summary for _, summary in known.values())
        if runs != self._shown:
            self._shown = runs
            self._fill(runs)

    def _warn(self, error: CoreError) -> None:
        self._task = None
        self.list.hide()
        self.empty.show()
        self.empty.setText(f"The list of runs cannot be read: {error}")

    def _fill(self, runs: tuple[RunSummary, ...]) -> None:
        kept = self.list.currentItem()
        current = kept.data(Qt.ItemDataRole.UserRole) if kept else None
        self.list.clear()
        for run in runs:
            item = QListWidgetItem(self.list)
            item.setData(Qt.ItemDataRole.UserRole, run.run)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{run.name}: {run.text}")
            item.setToolTip(tip(run.text))
            line = _Line(run)
            self.list.setItemWidget(item, line)
            item.setSizeHint(QSize(0, line.sizeHint().height() + ITEM_PADDING))
            if run.run == current:
                self.list.setCurrentItem(item)
        self.list.setVisible(bool(runs))
        self.empty.setText("No runs yet. The first one appears here.")
        self.empty.setVisible(not runs)


class _Line(QWidget):
    """One run: its name over how it stands."""

    def __init__(self, run: RunSummary) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        name = PlainLabel("", "strong")
        name.setWordWrap(False)
        name.setText(name.fontMetrics().elidedText(run.name, Qt.TextElideMode.ElideRight, 180))
        where = PlainLabel(_where(run), "small")
        where.setWordWrap(False)
        state = QHBoxLayout()
        state.setSpacing(6)
        state.addWidget(Chip(run.outcome, _LEVELS.get(run.outcome)))
        state.addWidget(where, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(name)
        column.addLayout(state)


def _where(run: RunSummary) -> str:
    """The step while there are steps to go, else the day."""
    if run.total and run.outcome != "finished":
        return f"{run.step:,} / {run.total:,}"
    return _day(run.started)


def _day(started: float) -> str:
    return f"{datetime.fromtimestamp(started):%d %b, %H:%M}" if started else ""


def look(home: Path, known: Known) -> Known:
    """The newest runs below `home`; only those whose events grew, or that run, are read again."""
    if not home.is_dir():
        return {}
    roots = sorted((p for p in home.iterdir() if (p / "events.jsonl").is_file()), reverse=True)
    return {root: _summary(root, known.get(root)) for root in roots[:MOST]}


def _summary(root: Path, known: tuple[int, RunSummary] | None) -> tuple[int, RunSummary]:
    run = RunDir(root)
    size = run.events_file.stat().st_size
    if known and known[0] == size and known[1].outcome not in ("running", "paused", "waiting"):
        return known
    return size, summarise(run)
