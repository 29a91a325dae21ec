"""The parts of the window beside each other: steps, page and footer, memory and problems."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from gui.footer import Footer
from gui.pages import PAGES
from gui.side_panel import SidePanel
from gui.step_list import StepList

NARROW = 1180
"""Windows below this width fold the side panel."""


class Frame(QWidget):
    """Places the parts; what they show belongs to the window."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("canvas")
        steps = [spec.title for spec in PAGES if not spec.queue]
        self.rail = StepList(steps, [spec.title for spec in PAGES if spec.queue])
        self.pages, self.footer, self.side = QStackedWidget(), Footer(), SidePanel()
        self._narrow: bool | None = None
        middle = QVBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(self.pages, 1)
        middle.addWidget(self.footer)
        columns = QHBoxLayout(self)
        columns.setContentsMargins(0, 0, 0, 0)
        columns.setSpacing(0)
        columns.addWidget(self.rail)
        columns.addLayout(middle, 1)
        columns.addWidget(self.side)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fold and open the side panel where the width crosses the line, not elsewhere."""
        super().resizeEvent(event)
        narrow = event.size().width() < NARROW
        if narrow != self._narrow:
            self._narrow = narrow
            self.side.fold(narrow)

    def focus_next_part(self) -> None:
        """Move the focus to the next part of the window."""
        parts = [p for p in (self.rail, self.pages, self.side, self.footer) if p.isVisible()]
        focus = QApplication.focusWidget()
        here = next((n for n, p in enumerate(parts) if focus and p.isAncestorOf(focus)), -1)
        for part in parts[here + 1 :] + parts[: here + 1]:
            if target := _first_stop(part):
                target.setFocus(Qt.FocusReason.ShortcutFocusReason)
                return


def _first_stop(part: QWidget) -> QWidget | None:
    """The first widget inside that the Tab key would reach."""
    stops = (w for w in part.findChildren(QWidget) if w.isVisible() and w.isEnabled())
    return next((w for w in stops if w.focusPolicy() & Qt.FocusPolicy.TabFocus), None)
