"""Which chat template conversations are written with."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from core import templates
from gui.fields import Choice
from gui.session import Session
from gui.text import tip
from gui.widgets import PlainLabel

FIELD = "data.template"
_FILE = "a file"
"""Stands for the wish to choose a file; no template is called so."""


class TemplateChoice(QWidget):
    """The model's own, one of the catalogue, or a file."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.box, self.use = Choice(), PlainLabel("", "muted")
        self.box.setAccessibleName("Chat template")
        self.box.activated.connect(lambda index: self._choose(self.box.itemData(index)))
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(PlainLabel("Chat template"))
        line.addWidget(self.box)
        line.addWidget(self.use, 1)
        self._shown: str | None = None

    def refresh(self) -> None:
        """Draw what the recipe says."""
        choice = self.session.recipe.data.template
        if choice != self._shown:
            self._shown = choice
            self._fill(choice)
        found = templates.find(choice)
        self.use.setText(found.use if found else "")

    def _fill(self, choice: str) -> None:
        self.box.clear()
        self.box.addItem("Model's own", "")
        for template in templates.CATALOGUE:
            self.box.addItem(template.title, template.name)
            self.box.setItemData(
                self.box.count() - 1, tip(template.use), Qt.ItemDataRole.ToolTipRole
            )
        if self.box.findData(choice) < 0:
            self.box.addItem(templates.title_of(choice), choice)
        self.box.addItem("Choose a file…", _FILE)
        self.box.setCurrentIndex(self.box.findData(choice))

    def _choose(self, choice: str) -> None:
        if choice != _FILE:
            self.session.edit(FIELD, choice)
            return
        self.box.setCurrentIndex(self.box.findData(self.session.recipe.data.template))
        dialog = QFileDialog(self, "Choose a chat template", "", "Templates (*.jinja)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda path: self.session.edit(FIELD, path))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
