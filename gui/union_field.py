"""An editor for a list whose entries are of several kinds: one small form an entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from core.value import Value
from gui.fields import Choice, Field, make_field, names_path
from gui.kind_chooser import name_of
from gui.parts import Pile
from gui.path_field import ask_path
from gui.value_form import ValueForm
from gui.widgets import IconButton, PlainLabel, QuietButton, row


def kinds_of(annotation: Any) -> tuple[type[Value], ...]:
    """The kinds that entries of a list may have; empty when it is no such list."""
    if get_origin(annotation) is not tuple:
        return ()
    inner = get_args(annotation)[0]
    union = get_args(inner)[0] if hasattr(inner, "__metadata__") else inner
    members = get_args(union) if get_origin(union) is Union or hasattr(union, "__args__") else ()
    kinds = tuple(kind for kind in members if isinstance(kind, type) and issubclass(kind, Value))
    return kinds if kinds and all("kind" in kind.model_fields for kind in kinds) else ()


class UnionListField(Field):
    """Entries below each other, each with its own fields, and a way to add one."""

    wide: ClassVar[bool] = True

    def __init__(self, info: FieldInfo) -> None:
        self.kinds = kinds_of(info.annotation)
        holder = QWidget()
        super().__init__(holder, info)
        holder.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.forms: list[ValueForm] = []
        self._values: list[Value] = []
        self._pile = Pile(spacing=10)
        self.choice, self.add = Choice(), QuietButton("Add", "plus")
        for kind in self.kinds:
            self.choice.addItem(_title(kind), name_of(kind))
        self.choice.setAccessibleName("Kind to add")
        self.add.clicked.connect(self._add)
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._pile)
        column.addLayout(row(self.choice, self.add))

    def show(self, value: tuple[Value, ...]) -> None:
        """Show the entries; a form in use is kept while its entry is what it shows."""
        if [form.value for form in self.forms] == list(value) and self._values == list(value):
            return
        self._values = list(value)
        self._pile.fill(object(), self._entries)

    def _entries(self) -> list[QWidget]:
        self.forms = []
        return [self._entry(place, value) for place, value in enumerate(self._values)]

    def _entry(self, place: int, value: Value) -> QWidget:
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        remove = IconButton("x", f"Remove {_title(type(value))}")
        remove.clicked.connect(lambda: self._remove(place))
        form = ValueForm(value, _drawable(type(value)))
        form.changed.connect(lambda: self._changed(place, form))
        self.forms.append(form)
        column.addLayout(row(PlainLabel(_title(type(value)), "strong"), remove))
        column.addWidget(form)
        return holder

    def _changed(self, place: int, form: ValueForm) -> None:
        self._tell(lambda entries: entries.__setitem__(place, form.value))

    def _remove(self, place: int) -> None:
        self._tell(lambda entries: entries.pop(place))

    def _add(self) -> None:
        """A kind that cannot be without a file asks for it first, one without a text begins with
        an example."""
        name = self.choice.currentData()
        kind = next(kind for kind in self.kinds if name_of(kind) == name)
        needed = {part: info for part, info in kind.model_fields.items() if info.is_required()}
        path = next((part for part, info in needed.items() if names_path(info)), None)
        if path is None:
            examples = {part: info.examples for part, info in needed.items()}
            self._append(kind(**{part: given[0] for part, given in examples.items() if given}))
        else:
            ask_path(
                self.widget, needed[path], "", lambda chosen: self._append(kind(**{path: chosen}))
            )

    def _append(self, fresh: Value) -> None:
        self._tell(lambda entries: entries.append(fresh))

    def _tell(self, change: Callable[[list[Value]], Any]) -> None:
        entries = list(self._values)
        change(entries)
        self.wanted.emit([entry.model_dump(mode="json") for entry in entries])


def _title(kind: type[Value]) -> str:
    return str(getattr(kind, "title", name_of(kind)))


def _drawable(kind: type[Value]) -> list[str]:
    return [name for name, info in kind.model_fields.items() if make_field(info) is not None]
