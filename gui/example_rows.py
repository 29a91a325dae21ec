"""The first rows of a dataset, as they stand in the file and as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from core.data_choices import Data
from core.excerpts import Excerpt, Said, Specimen, specimens
from gui.background import Task
from gui.excerpt_view import ExcerptView
from gui.widgets import QuietButton


class ExampleRows(QWidget):
    """One row at a time; read from the file only while somebody looks."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._wanted: Data | None = None
        self._shown: Data | None = None
        self._rows: tuple[Specimen, ...] = ()
        self._place = 0
        self.view = ExcerptView("An example row, as it stands and as it is read")
        self.another = QuietButton("Another example", "refresh-cw")
        self.another.clicked.connect(self._turn)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.view)
        column.addWidget(self.another)

    def want(self, data: Data) -> None:
        """Show rows of this dataset, read like this."""
        self._wanted = data.model_copy(update={"heldout": "", "heldout_share": 0.0})
        if self.isVisible():
            self._fetch()

    def showEvent(self, event: QShowEvent) -> None:
        """Now somebody looks."""
        super().showEvent(event)
        self._fetch()

    def _fetch(self) -> None:
        data = self._wanted
        if data is None or data == self._shown or not data.path:
            return
        self._shown = data
        task = Task(self, lambda: specimens(Path(data.path), format=data.format,
                                            columns=data.columns))  # fmt: skip
        task.then(lambda rows: self._take(data, rows))
        task.failed(lambda _: self._take(data, ())).start()

    def _take(self, data: Data, rows: tuple[Specimen, ...]) -> None:
        if data == self._wanted:
            self._rows = rows
            self._draw()

    def _turn(self) -> None:
        self._place += 1
        self._draw()

    def _draw(self) -> None:
        self.view.setVisible(bool(self._rows))
        self.another.setVisible(len(self._rows) > 1)
        if self._rows:
            self.view.show_rows(list(_sides(self._rows[self._place % len(self._rows)])))


def _sides(row: Specimen) -> Iterator[tuple[str, Excerpt]]:
    yield f"Line {row.raw.line:,}, as it stands in the file", row.raw
    unread = Excerpt(
        line=row.raw.line,
        said=(Said(role="not yet", text="Choose the format and its columns above."),),
    )
    yield f"Line {row.raw.line:,}, as it is read", row.read or unread
