"""A page in its frame: question, help line, content, scrolled together."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from gui.pages.base import Page
from gui.widgets import PlainLabel

WIDEST = 960
"""Beyond this fields look lost."""


class Sheet(QScrollArea):
    """Centred, never wider than reading is comfortable."""

    def __init__(self, page: Page, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.page = page
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(page.question)
        canvas = QWidget()
        canvas.setObjectName("sheet")
        centre = QHBoxLayout(canvas)
        centre.setContentsMargins(28, 22, 28, 24)
        column = QWidget()
        column.setObjectName("sheet")
        column.setMaximumWidth(WIDEST)
        column.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        inside = QVBoxLayout(column)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(4)
        inside.addWidget(PlainLabel(page.question, "title"))
        if page.help:
            inside.addWidget(PlainLabel(page.help, "muted"))
        inside.addSpacing(14)
        inside.addWidget(page, 1)
        centre.addStretch(1)
        centre.addWidget(column, 1000)
        centre.addStretch(1)
        self.setWidget(canvas)
