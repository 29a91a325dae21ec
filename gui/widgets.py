"""Small parts every page is made of. They carry roles, so a change of theme restyles them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.text import tip, wrappable

Role = Literal[
    "body", "muted", "heading", "title", "small", "mono", "strong", "figure", "brand",
    "ok", "warn", "bad",
]  # fmt: skip
Level = Literal["ok", "note", "warn", "bad"]
_LEVEL_ICONS = {"ok": "circle-check", "note": "info", "warn": "triangle-alert", "bad": "circle-x"}
_LEVEL_COLOURS = {"ok": "ok", "note": "accent", "warn": "warn", "bad": "bad"}


def restyle(widget: QWidget, **properties: object) -> None:
    """Change properties the style sheet looks at."""
    if all(widget.property(name) == value for name, value in properties.items()):
        return
    for name, value in properties.items():
        widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


class PlainLabel(QLabel):
    """Wrapped text that is never taken for markup, whatever it holds."""

    def __init__(self, text: str = "", role: Role = "body", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setProperty("role", role)
        self.setText(text)

    def setText(self, text: str) -> None:
        """Show text from anywhere."""
        super().setText(wrappable(text))

    def set_role(self, role: Role) -> None:
        """Change weight or colour."""
        restyle(self, role=role)

    def sizeHint(self) -> QSize:
        """As high as the text is at this width; Qt would guess a narrower, higher shape."""
        return _at_this_width(self, super().sizeHint())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width means another height."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()


def _at_this_width(widget: QWidget, hint: QSize) -> QSize:
    if widget.hasHeightForWidth() and widget.testAttribute(Qt.WidgetAttribute.WA_Resized):
        hint.setHeight(widget.heightForWidth(widget.width()))
    return hint


class Heading(PlainLabel):
    """The name of a part of a page."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, "heading", parent)


class Card(QFrame):
    """A framed part of a page: `body` takes widgets, `header` takes what stands at the right."""

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "card")
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(16, 14, 16, 16)
        self.body.setSpacing(10)
        self.header = QHBoxLayout()
        self.header.setSpacing(8)
        self.heading = Heading(title)
        self.header.addWidget(self.heading, 1)
        if title:
            self.body.addLayout(self.header)
            self.setAccessibleName(title)

    def add(self, *widgets: QWidget) -> None:
        """Append widgets, top to bottom."""
        for widget in widgets:
            self.body.addWidget(widget)


class QuietButton(QPushButton):
    """A button that is not the one thing to do next."""

    kind: str = ""

    def __init__(self, text: str = "", picture: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        if self.kind:
            self.setProperty("kind", self.kind)
        self.setAccessibleName(text.replace("&", ""))
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        if picture:
            theme.set_icon(self, picture, self.picture_colour, 16)

    @property
    def picture_colour(self) -> str:
        """The token that tints the icon."""
        return "text"

    def setText(self, text: str) -> None:
        """Change what it says, to screen readers too."""
        super().setText(text)
        self.setAccessibleName(text.replace("&", ""))


class PrimaryButton(QuietButton):
    """The one thing to do next; a page has one at most."""

    kind = "primary"

    @property
    def picture_colour(self) -> str:
        """The token that tints the icon."""
        return "on_accent"


class LinkButton(QuietButton):
    """A button that reads like a link."""

    kind = "link"

    @property
    def picture_colour(self) -> str:
        """The token that tints the icon."""
        return "accent"


class FixButton(QuietButton):
    """Repairs a problem with one click."""

    kind = "fix"


class IconButton(QToolButton):
    """A button that shows only an icon; its name is told by tip and to screen readers."""

    def __init__(self, picture: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_icon(self, picture)
        self.setAccessibleName(name)
        self.setToolTip(tip(name))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)


class Chip(QLabel):
    """A word in a rounded box."""

    def __init__(
        self, text: str = "", level: Level | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("kind", "chip")
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.show_as(text, level)

    def show_as(self, text: str, level: Level | None = None) -> None:
        """Change word and colour."""
        self.setText(wrappable(text))
        restyle(self, level=level or "")


class Notice(QFrame):
    """A sentence on a coloured ground, with a button where one click helps."""

    pressed = Signal()

    def __init__(
        self,
        level: Level = "note",
        text: str = "",
        fix: str = "",
        on_fix: Callable[[], object] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setProperty("kind", "notice")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 9, 12, 9)
        row.setSpacing(10)
        self._picture = QLabel()
        self._label = PlainLabel()
        self.button = FixButton()
        self.button.clicked.connect(self.pressed)
        row.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self._label, 1, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignVCenter)
        if on_fix is not None:
            self.pressed.connect(on_fix)
        self.show_as(level, text, fix)

    def show_as(self, level: Level, text: str, fix: str = "") -> None:
        """Change level, sentence and button; no button without `fix`."""
        restyle(self, level=level)
        theme.set_picture(self._picture, _LEVEL_ICONS[level], _LEVEL_COLOURS[level], 18)
        self._label.setText(text)
        self.setAccessibleName(text)
        self.button.setText(fix)
        self.button.setVisible(bool(fix))

    def sizeHint(self) -> QSize:
        """As high as the sentence is beside the button; Qt would cut what it guesses shorter."""
        return _at_this_width(self, super().sizeHint())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width means another height."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()

    def text(self) -> str:
        """The sentence, as it was given."""
        return self.accessibleName()


class Meter(QWidget):
    """A bar: stacked parts against a limit, the limit marked when the parts go over it."""

    HEIGHT = 16

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._parts: tuple[tuple[str, float], ...] = ()
        self._limit = 0.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(name)

    def sizeHint(self) -> QSize:
        """Wide and flat."""
        return QSize(160, self.HEIGHT)

    def set_parts(self, parts: Sequence[tuple[str, float]], limit: float, said: str = "") -> None:
        """Show named amounts of `limit`; `said` tells the same to a screen reader."""
        self._parts, self._limit = tuple(parts), limit
        self.setAccessibleDescription(said)
        self.setToolTip(tip(said))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw track, parts and limit."""
        colours, box = theme.current(), QRectF(0, 0, self.width(), self.height())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QPainterPath()
        frame.addRoundedRect(box, 5, 5)
        painter.setClipPath(frame)
        painter.fillRect(box, QColor(colours.track))
        scale = max(self._limit, sum(size for _, size in self._parts), 1e-9)
        left = 0.0
        for number, (_, size) in enumerate(self._parts):
            width = box.width() * size / scale
            colour = QColor(colours.series[number % len(colours.series)])
            painter.fillRect(QRectF(left, 0, max(width - 1, min(width, 1)), box.height()), colour)
            left += width
        if 0 < self._limit < scale:
            mark = box.width() * self._limit / scale
            painter.fillRect(QRectF(mark - 1.5, 0, 3, box.height()), QColor(colours.bad))
        painter.end()


class Swatch(QWidget):
    """The colour of one part of a Meter or one curve."""

    def __init__(self, number: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._number = number
        self.setFixedSize(10, 10)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """A rounded square."""
        series = theme.current().series
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(QColor(series[self._number % len(series)]))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.drawRoundedRect(QRectF(0, 0, 10, 10), 2.5, 2.5)
        painter.end()


def row(*widgets: QWidget, spacing: int = 8) -> QHBoxLayout:
    """Widgets beside each other, at the left."""
    line = QHBoxLayout()
    line.setSpacing(spacing)
    for widget in widgets:
        line.addWidget(widget)
    line.addStretch(1)
    return line
