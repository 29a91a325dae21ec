"""Foreign text of any length, script and direction, as high as it is: the page alone scrolls."""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent, QSizeF, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QKeyEvent,
    QResizeEvent,
    QTextCharFormat,
    QTextOption,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QTextEdit, QWidget

from gui import theme

_SCROLLING = (
    Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown, Qt.Key.Key_Home,
    Qt.Key.Key_End,
)  # fmt: skip


class FittedText(QTextEdit):
    """Read-only and never markup. Every paragraph runs in the direction of its own letters."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setUndoRedoEnabled(False)
        self.setTabChangesFocus(True)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(name)
        self.verticalScrollBar().rangeChanged.connect(self._stay)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)

    def draw(self) -> None:
        """Write the text anew, in the colours of the theme."""

    def _fit(self, size: QSizeF) -> None:
        frame = self.height() - self.viewport().height()
        self.setFixedHeight(math.ceil(size.height()) + frame)

    def _stay(self, _low: int, high: int) -> None:
        """Qt measures before the frame is known; everything is in sight, so nothing may scroll."""
        if high:
            self.verticalScrollBar().setRange(0, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The frame is known only once the style was applied."""
        super().resizeEvent(event)
        size = self.document().size()
        self._fit(size)
        # a change of height inside a change of height leaves Qt with the range of the former
        hidden = math.ceil(size.height()) - self.viewport().height()
        self.verticalScrollBar().setMaximum(max(0, hidden))

    def changeEvent(self, event: QEvent) -> None:
        """Colours are written into the text, so a change of theme writes it again."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self.draw()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """The wheel is the page's."""
        event.ignore()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """So are the keys that scroll."""
        if event.key() in _SCROLLING:
            event.ignore()
        else:
            super().keyPressEvent(event)


def ink(colour: str, *, bold: bool = False, ground: str = "") -> QTextCharFormat:
    """Letters in a theme's colour, by its name."""
    style = QTextCharFormat()
    style.setForeground(QColor(getattr(theme.current(), colour)))
    if bold:
        style.setFontWeight(QFont.Weight.DemiBold)
    if ground:
        style.setBackground(QColor(getattr(theme.current(), ground)))
    return style
