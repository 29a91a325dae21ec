"""A form over a value that is no part of the recipe: its fields are read, never repeated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QWidget

from core.value import Value
from gui.fields import Field, make_field
from gui.forms import EDITOR_WIDTH, LABEL_WIDTH
from gui.widgets import Notice, PlainLabel


class ValueForm(QWidget):
    """Some fields of a value; a refused edit is said and not taken."""

    changed = Signal()
    """An edit was taken."""

    def __init__(self, value: Value, names: Iterable[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.value = value
        self.fields: dict[str, Field] = {}
        self.faults: dict[str, Notice] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(14)
        self._grid.setVerticalSpacing(6)
        self._grid.setColumnStretch(2, 1)
        for name in names:
            info = type(value).model_fields[name]
            field = make_field(info)
            assert field is not None, f"{name} cannot be drawn"
            self._add(name, info, field)

    @property
    def faulty(self) -> bool:
        """Whether something that was typed is not taken."""
        return any(not notice.isHidden() for notice in self.faults.values())

    def _add(self, name: str, info: FieldInfo, field: Field) -> None:
        self.fields[name], self.faults[name] = field, Notice("bad")
        self.faults[name].hide()
        self.add_row(info.title or name, field.widget, info.description or "")
        self._grid.addWidget(self.faults[name], self._grid.rowCount(), 1, 1, 2)
        field.show(getattr(self.value, name))
        field.wanted.connect(lambda held: self._take(name, held))
        field.faulted.connect(lambda reason: self._fault(name, reason))

    def add_row(self, title: str, widget: QWidget, about: str) -> None:
        """A row with a widget of another kind."""
        line, top = self._grid.rowCount(), Qt.AlignmentFlag.AlignTop
        label, meaning = PlainLabel(title, "strong"), PlainLabel(about, "small")
        label.setBuddy(widget)
        label.setFixedWidth(LABEL_WIDTH)
        widget.setFixedWidth(EDITOR_WIDTH)
        for text in (label, meaning):
            text.setContentsMargins(0, 7, 0, 0)
        for column, part in enumerate((label, widget, meaning)):
            self._grid.addWidget(part, line, column, top)

    def _take(self, name: str, held: Any) -> None:
        kept = {n: getattr(self.value, n) for n in type(self.value).model_fields}
        try:
            self.value = type(self.value)(**(kept | {name: held}))
        except ValidationError as error:
            self._fault(name, f"Not taken: {error.errors()[0]['msg']}.")
            return
        self._fault(name, "")
        self.fields[name].show(held)
        self.changed.emit()

    def _fault(self, name: str, reason: str) -> None:
        self.fields[name].mark(reason)
        self.faults[name].show_as("bad", reason)
        self.faults[name].setVisible(bool(reason))
