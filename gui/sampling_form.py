"""How freely models answer: a form grown from the fields of Sampling."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import ValidationError
from PySide6.QtWidgets import QGridLayout, QWidget

from core.answering import Sampling
from core.errors import CoreError
from gui.fields import Field, WholeField, make_field
from gui.widgets import Notice, PlainLabel


class SamplingForm(QWidget):
    """How answers are drawn; grown from the fields of Sampling."""

    def __init__(self, longest: int) -> None:
        super().__init__()
        self._sampling = Sampling(longest=longest)
        self._faults: dict[str, str] = {}
        self.fields: dict[str, Field] = {}
        self.fault = Notice("bad")
        self.fault.hide()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(14)
        self._grid.setColumnStretch(2, 1)
        for line, name in enumerate(Sampling.model_fields):
            self._add(line, name)
        self._grid.addWidget(self.fault, len(self.fields), 0, 1, 3)

    def _add(self, line: int, name: str) -> None:
        info = Sampling.model_fields[name]
        field = make_field(info)
        assert field is not None
        field.show(getattr(self._sampling, name))
        field.wanted.connect(partial(self._take, name))
        kept = isinstance(field, WholeField)
        field.faulted.connect(self._draw_fault if kept else partial(self._tell, name))
        field.widget.setFixedWidth(120)
        self.fields[name] = field
        label = PlainLabel(info.title or name, "strong")
        label.setBuddy(field.widget)
        for column, widget in enumerate(
            (label, field.widget, PlainLabel(info.description or "", "small"))
        ):
            self._grid.addWidget(widget, line, column)

    def chosen(self) -> Sampling:
        """What was chosen. Raises CoreError while a number cannot be used."""
        if self._faults:
            raise CoreError(next(iter(self._faults.values())))
        return self._sampling

    def _take(self, name: str, value: Any) -> None:
        raw = self._sampling.model_dump() | {name: value}
        try:
            self._sampling = Sampling.model_validate(raw)
        except ValidationError as error:
            wrong = error.errors()[0]["msg"]
            self._tell(name, f"{Sampling.model_fields[name].title}: {wrong}.")
        else:
            self.fields[name].show(value)
            self._tell(name, "")

    def _tell(self, name: str, reason: str) -> None:
        self._faults.pop(name, None)
        if reason:
            self._faults[name] = reason
        self.fields[name].mark(reason)
        self._draw_fault("")

    def _draw_fault(self, remark: str) -> None:
        """What keeps answers from being made, or why a whole number is still the one before."""
        said = next(iter(self._faults.values()), remark)
        self.fault.show_as("bad" if self._faults else "warn", said)
        self.fault.setVisible(bool(said))
