"""Where a file can be dropped, or chosen without a mouse."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from gui import theme
from gui.widgets import PlainLabel


class DropZone(QWidget):
    """A dashed frame that takes one local file; buttons beneath do the same by keyboard."""

    dropped = Signal(str)

    def __init__(self, words: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAcceptDrops(True)
        self._over = False
        self.words, self.hint = PlainLabel(words, "strong"), PlainLabel("", "muted")
        self.buttons = QHBoxLayout()
        self.buttons.setSpacing(8)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 20, 20, 20)
        column.setSpacing(10)
        for label in (self.words, self.hint):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            column.addWidget(label)
        middle = QHBoxLayout()
        middle.addStretch(1)
        middle.addLayout(self.buttons)
        middle.addStretch(1)
        column.addLayout(middle)

    def say(self, words: str, hint: str) -> None:
        """What is chosen, and what can be dropped."""
        self.words.setText(words)
        self.hint.setText(hint)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Only a local file is of use."""
        if _local_file(event):
            event.acceptProposedAction()
            self._highlight(True)

    def dragLeaveEvent(self, _event: QDragLeaveEvent) -> None:
        """The file went elsewhere."""
        self._highlight(False)

    def dropEvent(self, event: QDropEvent) -> None:
        """Take the file."""
        self._highlight(False)
        if path := _local_file(event):
            event.acceptProposedAction()
            self.dropped.emit(path)

    def _highlight(self, over: bool) -> None:
        self._over = over
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """A dashed border, coloured while a file hovers over it."""
        colours = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        pen = QPen(QColor(colours.accent if self._over else colours.control), 1.5)
        pen.setDashPattern([5, 4])
        painter.setPen(pen)
        painter.setBrush(QColor(colours.accent_soft if self._over else colours.panel))
        frame = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        painter.drawRoundedRect(frame, 10, 10)
        painter.end()


def _local_file(event: QDropEvent) -> str:
    """The path of a single local file; "" when something else is dragged."""
    urls = event.mimeData().urls()
    if len(urls) != 1 or not urls[0].isLocalFile():
        return ""
    path = urls[0].toLocalFile()
    return path if Path(path).is_file() else ""
