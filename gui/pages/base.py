"""A page asks one question, shows the recipe's answer, and calls session.edit."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from core.plan import Plan
from core.recipe import Recipe
from gui.session import Session


class Page(QWidget):
    """Base of all pages. Subclasses fill `self.body` in `build` and draw in `show_plan`."""

    title: ClassVar[str]
    """Name in the step list."""
    question: ClassVar[str]
    """Heading of the page."""
    help: ClassVar[str] = ""
    """One line under the heading."""
    icon: ClassVar[str] = "circle"
    paths: ClassVar[tuple[str, ...]] = ()
    """Recipe paths this page answers for: their problems mark its step."""

    go = Signal(str)
    """Ask the window to show the page with this title."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(12)
        self.build()
        session.planned.connect(self._planned)
        self._planned(session.plan)

    def build(self) -> None:
        """Create the widgets, once."""
        raise NotImplementedError

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """Draw what changed; called after every edit while the page exists."""

    def _planned(self, plan: Plan) -> None:
        self.show_plan(self.session.recipe, plan)
