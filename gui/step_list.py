"""The left side of the window: the product's name, the steps, the runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.offline import OfflineButton
from gui.text import tip
from gui.widgets import IconButton, PlainLabel

WIDTH = 226
Mark = Literal["open", "done", "warning", "blocker", "busy"]
_PICTURES = {
    "done": ("circle-check", "ok"),
    "warning": ("triangle-alert", "warn"),
    "blocker": ("circle-alert", "bad"),
    "busy": ("activity", "accent"),
}
_SAID = {
    "open": "not visited yet",
    "done": "done",
    "warning": "has a warning",
    "blocker": "needs an answer",
    "busy": "training now",
}


class StepButton(QPushButton):
    """One step: its number until it was visited, then how it stands; 0 is beside the steps."""

    def __init__(self, number: int, title: str, parent: QWidget | None = None) -> None:
        super().__init__(f"  {title}", parent)
        self.title = title
        self.mark: Mark | None = None
        self._why = ""
        self._number = number
        self.setProperty("kind", "step")
        self.setCheckable(True)
        self.setIconSize(QSize(20, 20))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.toggled.connect(self.draw)
        self.set_mark("open", "")

    def set_mark(self, mark: Mark, why: str) -> None:
        """How the step stands; `why` is the first problem's sentence."""
        if (self.mark, self._why) == (mark, why):
            return  # told ten times a second while a run is watched
        self.mark, self._why = mark, why
        said = f"Step {self._number}, {self.title}: {_SAID[mark]}" if self._number else self.title
        self.setAccessibleName(said)
        self.setAccessibleDescription(why)
        self.setToolTip(tip(why))
        self.draw()

    def draw(self) -> None:
        """Draw the mark in the colours of now."""
        if picture := _PICTURES.get(self.mark or "open"):
            self.setIcon(theme.icon(*picture))
        elif not self._number:
            self.setIcon(theme.icon("layers", "accent" if self.isChecked() else "muted"))
        else:
            self.setIcon(_numbered(self._number, active=self.isChecked()))


def _numbered(number: int, *, active: bool) -> QIcon:
    """A digit in a ring."""
    colour = QColor(theme.current().accent if active else theme.current().muted)
    icon = QIcon()
    for scale in (1, 2, 3):
        side = 20 * scale
        pixmap = QPixmap(side, side)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        pen = painter.pen()
        pen.setColor(colour)
        pen.setWidthF(1.5 * scale)
        painter.setPen(pen)
        painter.drawEllipse(pixmap.rect().toRectF().adjusted(scale, scale, -scale, -scale))
        font = QFont("Inter", weight=QFont.Weight.DemiBold)
        font.setPixelSize(11 * scale)
        painter.setFont(font)
        painter.drawText(pixmap.rect(), Qt.AlignmentFlag.AlignCenter, str(number))
        painter.end()
        icon.addPixmap(pixmap)
    return icon


class StepList(QFrame):
    """Steps can be visited in any order; marks say what is left to do."""

    chosen = Signal(str)
    """The title of a step was pressed."""
    fresh = Signal()
    """A new recipe is wanted."""
    looks = Signal()
    """Light instead of dark or the other way round."""
    about = Signal()

    def __init__(
        self, titles: Sequence[str], beside: Sequence[str] = (), parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("rail")
        self.setFixedWidth(WIDTH)
        self.setAccessibleName("Steps and runs")
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(8, 12, 8, 8)
        self.body.setSpacing(2)
        self.body.addLayout(self._brand())
        self.body.addSpacing(8)
        self._group = QButtonGroup(self)
        self.steps = {title: StepButton(n, title) for n, title in enumerate(titles, 1)}
        for step in self.steps.values():
            self.body.addWidget(step)
        self._beside = [StepButton(0, title) for title in beside]
        self.steps |= {step.title: step for step in self._beside}
        for step in self.steps.values():
            self._group.addButton(step)
            step.clicked.connect(lambda _=False, title=step.title: self.chosen.emit(title))
        self.body.addSpacing(8)
        for step in self._beside:
            self.body.addWidget(step)
        self.body.addSpacing(8)
        self._runs = QVBoxLayout()
        self.body.addLayout(self._runs, 1)
        self.body.addLayout(self._tools())

    def select(self, title: str) -> None:
        """Show where the window is."""
        self.steps[title].setChecked(True)

    def set_mark(self, title: str, mark: Mark, why: str = "") -> None:
        """How a step stands."""
        self.steps[title].set_mark(mark, why)

    def add_runs(self, panel: QWidget) -> None:
        """Put the list of runs below the steps."""
        self._runs.addWidget(panel, 1)

    def redraw(self) -> None:
        """After a change of theme."""
        for step in self.steps.values():
            step.draw()
        dark = theme.current().dark
        theme.set_icon(self._looks, "sun" if dark else "moon")

    def _brand(self) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setContentsMargins(8, 0, 4, 0)
        line.setSpacing(10)
        picture = QLabel()
        theme.set_picture(picture, "sparkles", "accent", 22)
        picture.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        line.addWidget(picture)
        line.addWidget(PlainLabel("Tunesmith", "brand"), 1)
        new = IconButton("plus", "New recipe")
        new.clicked.connect(self.fresh)
        line.addWidget(new)
        return line

    def _tools(self) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setContentsMargins(4, 4, 4, 0)
        self._looks = IconButton("moon", "Light or dark")
        self._looks.clicked.connect(self.looks)
        about = IconButton("circle-question-mark", "About Tunesmith")
        about.clicked.connect(self.about)
        line.addWidget(self._looks)
        line.addWidget(about)
        line.addStretch(1)
        line.addWidget(OfflineButton())
        return line
