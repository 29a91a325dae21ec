"""How rows are read: the format that was recognised, and which column plays which part."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from PySide6.QtWidgets import QGridLayout, QWidget

from core.dataset import DataFacts
from core.formats import FORMATS, Format, Part
from core.numbers import percent
from core.reading import BadLine, read_rows
from core.recipe import Recipe
from gui.example_rows import ExampleRows
from gui.fields import Choice
from gui.parts import Pile
from gui.session import Session
from gui.text import plain
from gui.widgets import PlainLabel

_NAME = 60
"""Letters of a column's name that are shown."""
_PEEKED = 50
"""Rows that tell which columns a file has."""


class ColumnChoice(Choice):
    """Names from a file, which may be of any length."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(16)

    def offer(self, none: str, columns: Iterable[str]) -> None:
        """Offer these columns, or none of them."""
        self.clear()
        self.addItem(none, "")
        for column in columns:
            self.addItem(plain(column, _NAME), column)


class ColumnsEditor(QWidget):
    """Corrects what was recognised: another format, other columns."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.parts: dict[str, ColumnChoice] = {}
        self.format = Choice()
        self.format.setAccessibleName("Format of the rows")
        self.format.addItem("Recognise it automatically", "auto")
        for each in FORMATS:
            self.format.addItem(each.title, each.name)
        self.format.activated.connect(self._choose_format)
        self._mapping = Pile(spacing=6)
        self.example = ExampleRows()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        label = PlainLabel("Format", "strong")
        label.setFixedWidth(150)
        label.setBuddy(self.format)
        grid.addWidget(label, 0, 0)
        grid.addWidget(self.format, 0, 1)
        grid.addWidget(self._mapping, 1, 0, 1, 2)
        grid.addWidget(self.example, 2, 0, 1, 2)

    def _choose_format(self) -> None:
        data = self.session.recipe.data
        changed = {"format": self.format.currentData(), "columns": {}}
        self.session.edit("data", data.model_copy(update=changed))

    def show_reading(
        self, recipe: Recipe, facts: DataFacts | None, columns: tuple[str, ...]
    ) -> None:
        """Draw format and mapping; without facts the user's own choices are all there is."""
        self._show_fits(facts)
        self.format.setCurrentIndex(max(0, self.format.findData(recipe.data.format)))
        self.example.want(recipe.data)
        wanted = recipe.data.format if facts is None else facts.format
        form = next((each for each in FORMATS if each.name == wanted), None)
        mapping = dict(recipe.data.columns) if facts is None else facts.mapping
        shown = (wanted, tuple(mapping.items()), columns)
        self._mapping.fill(shown, lambda: self._grow(form, mapping, columns))

    def _show_fits(self, facts: DataFacts | None) -> None:
        """Beside every format, how many of the first rows are built like it."""
        fits = {} if facts is None else facts.alternatives | {facts.format: facts.confidence}
        for place, each in enumerate(FORMATS, start=1):
            fit = f"fits {percent(fits[each.name])}" if each.name in fits else "does not fit"
            said = f": {fit}" if fits else ""
            self.format.setItemText(place, f"{each.title}{said}")

    def _grow(
        self, form: Format | None, mapping: dict[str, str], columns: tuple[str, ...]
    ) -> list[QWidget]:
        self.parts = {}
        if form is None or not columns:
            return []
        return [self._line(part, mapping.get(part.name, ""), columns) for part in form.parts]

    def _line(self, part: Part, column: str, columns: tuple[str, ...]) -> QWidget:
        line, box = QWidget(), ColumnChoice()
        grid = QGridLayout(line)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(14)
        grid.setColumnStretch(1, 1)
        name = PlainLabel(part.name if part.required else f"{part.name} (optional)")
        name.setFixedWidth(150)
        name.setBuddy(box)
        box.setAccessibleName(f"Column for {part.name}")
        box.offer("choose a column" if part.required else "none", columns)
        box.setCurrentIndex(max(0, box.findData(column)))
        box.activated.connect(lambda _: self._choose_column(part.name, box.currentData()))
        self.parts[part.name] = box
        grid.addWidget(name, 0, 0)
        grid.addWidget(box, 0, 1)
        return line

    def _choose_column(self, part: str, column: str) -> None:
        columns = {k: v for k, v in self.session.recipe.data.columns.items() if k != part}
        self.session.edit("data.columns", columns | ({part: column} if column else {}))


def peek_columns(path: Path) -> tuple[str, ...]:
    """The columns of the first rows, for a file whose format nobody recognised."""
    rows = itertools.islice(read_rows(path), _PEEKED)
    return tuple(dict.fromkeys(n for r in rows if not isinstance(r, BadLine) for n in r.row))
