"""Where numbers are typed: `2e-4`, `0.0002` and `0,0002` mean the same in every locale.

Qt's own spin boxes drop the keys they do not like, so "2e-4" becomes 24 and "1.5" becomes 15
without a word. Here every key stays visible, and what cannot be read is said.
"""

from __future__ import annotations

import re

from PySide6.QtCore import QLocale, Signal
from PySide6.QtGui import QValidator, QWheelEvent
from PySide6.QtWidgets import QLineEdit, QSpinBox, QWidget

from core.numbers import parse_number, show_number
from gui.widgets import restyle

LARGEST_INT = 2**31 - 1
"""The largest number a Qt spin box can hold."""


def mark(widget: QWidget, reason: str) -> None:
    """Draw a field as faulty and tell screen readers why; an empty reason clears it."""
    restyle(widget, invalid=bool(reason))
    taught = widget.property("taught")
    widget.setAccessibleDescription(reason or (taught if isinstance(taught, str) else ""))


class RateEdit(QLineEdit):
    """A number in a line edit. Empty means automatic where that is allowed.

    It shows what its owner sets and asks for changes: the typed text stays until the owner
    answers `committed` with `set_value`, so a refused number is not lost.
    """

    committed = Signal(object)
    """The typed number (float), or None for automatic."""
    faulted = Signal(str)
    """Why the text cannot be read; empty when it can."""

    def __init__(self, *, optional: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._optional = optional
        self._value: float | None = None
        self._shown = ""
        self.editingFinished.connect(self._finish)

    def value(self) -> float | None:
        """The number that was set last; None is automatic."""
        return self._value

    def set_value(self, value: float | None) -> None:
        """Show a number; a text being typed is replaced only when the number is new."""
        if value != self._value:
            self._value = value
            self._show()

    def set_automatic(self, text: str) -> None:
        """What an empty field stands for."""
        self.setPlaceholderText(text)

    def _show(self) -> None:
        self._shown = "" if self._value is None else show_number(self._value)
        self.setText(self._shown)
        self._fault("")

    def _finish(self) -> None:
        try:
            value = self._read(self.text().strip())
        except ValueError as error:
            self._fault(str(error))
            return
        if value == self._value or self.text() == self._shown:
            self._show()
        else:
            self._fault("")
            self.committed.emit(value)

    def _read(self, text: str) -> float | None:
        if text:
            return parse_number(text)
        if self._optional:
            return None
        raise ValueError("A number is needed here, for instance 0.1.")

    def _fault(self, reason: str) -> None:
        mark(self, reason)
        self.faulted.emit(reason)


class WholeEdit(QSpinBox):
    """A whole number in a spin box that refuses "1.5" and "2e3" instead of reading 15 and 23.

    With `automatic` the step below the smallest number, and an empty field, mean None.
    """

    committed = Signal(object)
    """The chosen number (int), or None for automatic."""
    faulted = Signal(str)
    """Why the text cannot be read; empty when it can."""

    def __init__(
        self, low: int, high: int, *, automatic: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._optional = bool(automatic)
        self._low, self._high = low, high
        self._refused = ""
        self.setLocale(QLocale.c())
        self.setRange(low - 1 if automatic else low, high)
        self.setSpecialValueText(automatic)
        self.setKeyboardTracking(False)
        self.lineEdit().setTextMargins(8, 0, 0, 0)
        self.valueChanged.connect(self._changed)
        self.editingFinished.connect(self._finish)

    def number(self) -> int | None:
        """The number shown; None is automatic."""
        return None if self._optional and self.value() < self._low else self.value()

    def set_value(self, value: int | None) -> None:
        """Show a number without asking anybody to change it."""
        shown = self._low - 1 if value is None else value
        if shown != self.value():
            self.blockSignals(True)
            self.setValue(shown)
            self.blockSignals(False)
            self._fault("")

    def set_automatic(self, text: str) -> None:
        """What the automatic value comes to."""
        if self._optional and text != self.specialValueText():
            self.setSpecialValueText(text)

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Every key may be typed; only a whole number in range is taken."""
        state = QValidator.State.Acceptable
        if self._problem(text):
            state = QValidator.State.Intermediate
        return (state, text, position)

    def valueFromText(self, text: str) -> int:
        """An empty field, or the words for automatic, are the step below the smallest number."""
        return self._low - 1 if self._is_automatic(text) else int(text.strip())

    def fixup(self, text: str) -> str:
        """Qt goes back to the last good number after this, so say why."""
        self._refused = self._problem(text)
        return text

    def _is_automatic(self, text: str) -> bool:
        return self._optional and text.strip() in ("", self.specialValueText())

    def _problem(self, text: str) -> str:
        plain = text.strip()
        if self._is_automatic(plain):
            return ""
        if not re.fullmatch(r"\d{1,10}", plain):
            return f"{plain!r} is not a whole number. Write digits only, like {self._low}."
        if not self._low <= int(plain) <= self._high:
            return f"{plain} is outside {self._low:,} to {self._high:,}."
        return ""

    def _changed(self, _: int) -> None:
        self._fault("")
        self.committed.emit(self.number())

    def _finish(self) -> None:
        self._fault(f"{self._refused} The number from before is kept." if self._refused else "")
        self._refused = ""

    def _fault(self, reason: str) -> None:
        mark(self, reason)
        self.faulted.emit(reason)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scrolling a page must not change a number on its way."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()
