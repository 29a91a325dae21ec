"""One editor per kind of field: what a recipe's schema says becomes a widget that asks for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QFocusEvent, QWheelEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QPlainTextEdit, QWidget

from core.value import FILE, FOLDER
from gui.rate_edit import LARGEST_INT, RateEdit, WholeEdit, mark
from gui.text import tip

_EMPTY_MEANS = re.compile(r"Empty: ([^.]+)\.")


class Field(QObject):
    """A widget that shows one value and asks for changes; the recipe alone keeps the value."""

    wanted = Signal(object)
    """The user chose a value."""
    faulted = Signal(str)
    """Why what was typed cannot be read; empty when it can."""
    wide: ClassVar[bool] = False
    """Whether it needs the whole width of a form."""

    def __init__(self, widget: QWidget, info: FieldInfo) -> None:
        super().__init__(widget)
        self.widget = widget
        self.about = info.description or ""
        widget.setAccessibleName(info.title or "")
        widget.setToolTip(tip(self.about))
        widget.setProperty("taught", self.about)
        widget.setAccessibleDescription(self.about)
        widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def show(self, value: Any) -> None:
        """Show the recipe's value."""
        raise NotImplementedError

    def set_automatic(self, text: str) -> None:
        """What an automatic value comes to; only some fields have one."""

    def mark(self, reason: str) -> None:
        """Draw the widget as refused, or clear that."""
        mark(self.widget, reason)


class NumberField(Field):
    """A number with a decimal point, typed."""

    def __init__(self, info: FieldInfo) -> None:
        self.edit = RateEdit(optional=_optional(info))
        super().__init__(self.edit, info)
        self.edit.set_automatic(_automatic_words(info))
        self.edit.committed.connect(self.wanted)
        self.edit.faulted.connect(self.faulted)

    def show(self, value: float | None) -> None:
        """Show a number."""
        self.edit.set_value(value)

    def set_automatic(self, text: str) -> None:
        """The number an empty field stands for."""
        self.edit.set_automatic(text)


class WholeField(Field):
    """A whole number, typed or stepped."""

    def __init__(self, info: FieldInfo) -> None:
        low, high = _whole_range(info)
        self.edit = WholeEdit(low, high, automatic=_automatic_words(info))
        super().__init__(self.edit, info)
        self.edit.committed.connect(self.wanted)
        self.edit.faulted.connect(self.faulted)

    def show(self, value: int | None) -> None:
        """Show a number."""
        self.edit.set_value(value)

    def set_automatic(self, text: str) -> None:
        """The number that automatic stands for."""
        self.edit.set_automatic(text)


class ChoiceField(Field):
    """One of a few words."""

    def __init__(self, info: FieldInfo) -> None:
        self.box = Choice()
        super().__init__(self.box, info)
        for value in get_args(_bare(info.annotation)):
            self.box.addItem("automatic" if value == "auto" else str(value), value)
        self.box.activated.connect(lambda _: self.wanted.emit(self.box.currentData()))

    def show(self, value: str) -> None:
        """Show a word."""
        self.box.setCurrentIndex(self.box.findData(value))

    def set_automatic(self, text: str) -> None:
        """What "auto" comes to."""
        place = self.box.findData("auto")
        if place >= 0:
            self.box.setItemText(place, text)


class SwitchField(Field):
    """Yes or no."""

    def __init__(self, info: FieldInfo) -> None:
        self.box = QCheckBox("On")
        self.box.setMinimumHeight(32)
        super().__init__(self.box, info)
        self.box.clicked.connect(lambda on: self.wanted.emit(on))

    def show(self, value: bool) -> None:
        """Show yes or no."""
        self.box.setChecked(value)


class LineEdit(QLineEdit):
    """A line of text that is handed over when it is left or Enter is pressed."""

    committed = Signal(str)

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self._shown = ""
        self.setAccessibleName(name)
        self.editingFinished.connect(self._finish)

    def set_text(self, text: str) -> None:
        """Show a text; one being typed is replaced only by another value."""
        if text != self._shown:
            self._shown = text
            self.setText(text)

    def _finish(self) -> None:
        if self.text() != self._shown:
            self.committed.emit(self.text())


class TextField(Field):
    """A line of text."""

    def __init__(self, info: FieldInfo) -> None:
        self.edit = LineEdit()
        super().__init__(self.edit, info)
        self.edit.committed.connect(lambda text: self.wanted.emit(text))

    def show(self, value: str) -> None:
        """Show a text."""
        self.edit.set_text(value)


class LinesField(Field):
    """Several texts, one a line."""

    def __init__(self, info: FieldInfo) -> None:
        self.edit = Lines()
        super().__init__(self.edit, info)
        self._shown: tuple[str, ...] = ()
        self.edit.setPlaceholderText("One a line")
        self.edit.left.connect(self._finish)

    def show(self, value: tuple[str, ...]) -> None:
        """Show texts."""
        if value != self._shown:
            self._shown = value
            self.edit.setPlainText("\n".join(value))

    def _finish(self) -> None:
        lines = [line.strip() for line in self.edit.toPlainText().splitlines() if line.strip()]
        if tuple(lines) != self._shown:
            self.wanted.emit(lines)


class Choice(QComboBox):
    """A combo box that lets a page scroll past it."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Only an open list or a focused box is scrolled."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class Lines(QPlainTextEdit):
    """A small plain text box; Tab leaves it."""

    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setTabChangesFocus(True)
        self.setFixedHeight(76)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Leaving is how the text is handed over."""
        super().focusOutEvent(event)
        self.left.emit()


def make_field(info: FieldInfo) -> Field | None:
    """The editor for a field of a recipe; None for a kind that pages draw by hand."""
    kind = _bare(info.annotation)
    makers: dict[Any, Callable[[FieldInfo], Field]] = {
        bool: SwitchField, int: WholeField, float: NumberField, str: TextField,
    }  # fmt: skip
    if names_path(info):
        return _path_field(info)
    if get_origin(kind) is Literal:
        return ChoiceField(info) if len(get_args(kind)) > 1 else None
    if kind == tuple[str, ...]:
        return LinesField(info)
    if get_origin(kind) is tuple:
        return _list_field(info)
    return makers[kind](info) if kind in makers else None


def _list_field(info: FieldInfo) -> Field | None:
    from gui.union_field import UnionListField, kinds_of  # its entries are forms of fields

    return UnionListField(info) if kinds_of(info.annotation) else None


def _path_field(info: FieldInfo) -> Field:
    from gui.path_field import PathField  # built of the parts above

    return PathField(info)


def _bare(annotation: Any) -> Any:
    """The type without `| None`."""
    if get_origin(annotation) in (Union, UnionType):
        return next(part for part in get_args(annotation) if part is not NoneType)
    return annotation


def marks(info: FieldInfo) -> dict[str, Any]:
    """What a field says of itself beside its type (core.value)."""
    extra = info.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def names_path(info: FieldInfo) -> bool:
    """Whether a field names a file or a folder."""
    return FILE in marks(info) or FOLDER in marks(info)


def _optional(info: FieldInfo) -> bool:
    return NoneType in get_args(info.annotation)


def _automatic_words(info: FieldInfo) -> str:
    """What the description says of an empty field; empty for a field that must have a value."""
    if not _optional(info):
        return ""
    found = _EMPTY_MEANS.search(info.description or "")
    return found[1] if found else "automatic"


def _whole_range(info: FieldInfo) -> tuple[int, int]:
    low, high = 0, LARGEST_INT
    for bound in info.metadata:
        match bound:
            case Ge(ge=value):
                low = int(value)  # type: ignore[call-overload]
            case Gt(gt=value):
                low = int(value) + 1  # type: ignore[call-overload]
            case Le(le=value):
                high = int(value)  # type: ignore[call-overload]
            case Lt(lt=value):
                high = int(value) - 1  # type: ignore[call-overload]
    return low, high
