"""Hand a plan on: a page to share, tables for a spreadsheet, a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from core import durable
from core.offers import offers_of
from core.plan_page import gpus_csv, items_csv, page
from gui import messages
from gui.session import Session
from gui.widgets import QuietButton

_KINDS = (
    ("Page to share (HTML)…", "plan.html"),
    ("Memory items (CSV)…", "memory.csv"),
    ("GPUs (CSV)…", "gpus.csv"),
    ("Picture (PNG)…", "memory.png"),
)


class ExportButton(QuietButton):
    """A menu of files the plan can be written to."""

    def __init__(self, session: Session) -> None:
        super().__init__("Export", "save")
        self.session = session
        menu = QMenu(self)
        for title, name in _KINDS:
            menu.addAction(title).triggered.connect(lambda _, n=name: self._ask(n))
        self.setMenu(menu)

    def _ask(self, name: str) -> None:
        dialog = QFileDialog(self, "Export the plan", name)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(Path(name).suffix.removeprefix("."))
        dialog.selectFile(name)
        dialog.fileSelected.connect(lambda path: self.write(name, Path(path)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def write(self, name: str, path: Path) -> None:
        """Write the kind of file that is usually called `name`."""
        if name == "memory.png":
            self._picture(path)
            return
        try:
            durable.write_atomically(path, self._texts()[name]())
        except OSError as error:
            reason = error.strerror or str(error)
            messages.tell(self, "The plan was not written.", f"{path}: {reason}.")

    def _picture(self, path: Path) -> None:
        card = self.parentWidget()
        assert isinstance(card, QWidget)
        if not card.grab().save(str(path), "PNG"):
            messages.tell(self, "The picture was not written.", f"{path} cannot be written.")

    def _texts(self) -> dict[str, Callable[[], str]]:
        recipe, facts, plan = self.session.recipe, self.session.facts, self.session.plan
        return {
            "plan.html": lambda: page(recipe, plan, offers_of(recipe, facts)),
            "memory.csv": lambda: items_csv(plan),
            "gpus.csv": lambda: gpus_csv(offers_of(recipe, facts), plan.tokens),
        }
