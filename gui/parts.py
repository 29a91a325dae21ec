"""Parts that several set-up pages share: choosable cards, tables of facts, things that unfold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from PySide6.QtCore import QPoint, QSize, Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.widgets import Chip, Level, LinkButton, PlainLabel

_ABOVE = 60
"""Pixels of the page that stay above what is revealed."""
LEVELS: dict[str, Level] = {"blocker": "bad", "warning": "warn", "tip": "note"}


class OptionCard(QPushButton):
    """A card that can be chosen with mouse or keyboard; one of its group is."""

    def __init__(self, title: str, summary: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "option")
        self.setCheckable(True)
        self.setAutoExclusive(True)
        self.setAccessibleName(title)
        self.setAccessibleDescription(summary)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self._summary = summary
        self.chip, self.detail = Chip(), PlainLabel("", "small")
        self._build(title)

    def _build(self, title: str) -> None:
        inside = QVBoxLayout(self)
        inside.setContentsMargins(16, 13, 16, 14)
        inside.setSpacing(6)
        head = QHBoxLayout()
        head.addWidget(PlainLabel(title, "strong"), 1)
        head.addWidget(self.chip)
        inside.addLayout(head)
        inside.addWidget(PlainLabel(self._summary))
        inside.addWidget(self.detail)
        inside.addStretch(1)
        for child in self.findChildren(QWidget):
            child.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.chip.hide()
        self.detail.hide()

    def tell(self, chip: str, level: Level | None, detail: str) -> None:
        """What the choice costs, in a word and in a line."""
        self.chip.show_as(chip, level)
        self.chip.setVisible(bool(chip))
        self.detail.setText(detail)
        self.detail.setVisible(bool(detail))
        self.setAccessibleDescription(" ".join((self._summary, detail, chip)).strip())

    def sizeHint(self) -> QSize:
        """As large as what is on it."""
        layout = self.layout()
        return layout.sizeHint() if layout else super().sizeHint()

    def minimumSizeHint(self) -> QSize:
        """As small as its words allow."""
        layout = self.layout()
        return layout.minimumSize() if layout else super().minimumSizeHint()

    def hasHeightForWidth(self) -> bool:
        """Words wrap."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Height of the wrapped words."""
        layout = self.layout()
        return layout.heightForWidth(width) if layout else -1


class FactsTable(QWidget):
    """Names and values in two columns; the values may come from files."""

    def __init__(self, parent: QWidget | None = None, label_width: int = 170) -> None:
        super().__init__(parent)
        self._facts: tuple[tuple[str, str], ...] = ()
        self._width = label_width
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(14)
        self._grid.setVerticalSpacing(6)
        self._grid.setColumnStretch(1, 1)

    def show_facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Replace everything shown."""
        new = tuple(facts)
        if new == self._facts:
            return
        self._facts = new
        clear(self)
        for line, (name, value) in enumerate(new):
            label = PlainLabel(name, "muted")
            label.setFixedWidth(self._width)
            shown = PlainLabel(value)
            shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            shown.setAccessibleName(f"{name}: {value}")
            self._grid.addWidget(label, line, 0, Qt.AlignmentFlag.AlignTop)
            self._grid.addWidget(shown, line, 1, Qt.AlignmentFlag.AlignTop)

    def facts(self) -> dict[str, str]:
        """What is shown."""
        return dict(self._facts)


class Pile(QWidget):
    """Widgets below each other, replaced as a whole when what they show has changed."""

    def __init__(self, parent: QWidget | None = None, spacing: int = 8) -> None:
        super().__init__(parent)
        self._shown: object = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(spacing)
        self.hide()

    def fill(self, shown: object, make: Callable[[], Sequence[QWidget]]) -> None:
        """Call `make` for new widgets, unless `shown` is what is shown already."""
        if shown == self._shown:
            return
        self._shown = shown
        clear(self)
        widgets = make()
        for widget in widgets:
            self._column.addWidget(widget)
        self.setVisible(bool(widgets))


class WhenSeen(QWidget):
    """Something costly to draw: drawn when it is seen, and only then."""

    _stale = True

    def refresh(self) -> None:
        """What is shown changed: draw it now, or once this is seen."""
        self._stale = True
        if self.isVisible():
            self._catch_up()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what changed meanwhile."""
        super().showEvent(event)
        if self._stale:
            self._catch_up()

    def _catch_up(self) -> None:
        self._stale = False
        self.draw()

    def draw(self) -> None:
        """Show what there is now."""
        raise NotImplementedError


class Disclosure(QWidget):
    """A line that unfolds what most people do not need."""

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.content = content
        self.button = LinkButton(title, "chevron-right")
        self.button.setCheckable(True)
        self.button.toggled.connect(self.unfold)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.button)
        column.addWidget(content)
        content.hide()

    def unfold(self, open: bool) -> None:
        """Show or hide the content."""
        self.button.setChecked(open)
        theme.set_icon(self.button, "chevron-down" if open else "chevron-right", "accent", 16)
        self.content.setVisible(open)


def reveal(widget: QWidget) -> None:
    """Scroll the page to a widget, once the layout has settled."""

    def scroll() -> None:
        area = widget.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        sheet = area.widget() if area is not None else None
        if area is not None and sheet is not None:
            top = widget.mapTo(sheet, QPoint(0, 0)).y()
            area.verticalScrollBar().setValue(top - _ABOVE)

    QTimer.singleShot(0, widget, scroll)


def clear(holder: QWidget) -> None:
    """Take every widget out of a holder's layout."""
    layout = holder.layout()
    while layout is not None and (item := layout.takeAt(0)):
        if widget := item.widget():
            widget.hide()
            widget.setParent(None)
            widget.deleteLater()
