"""Says that a dataset is a copy or a part that was made here, and leads back to its source."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from PySide6.QtWidgets import QWidget

from core.dataset import DataFacts
from core.mending import Record
from core.origins import Origin, origin_of
from core.parting import Parting
from core.places import portable
from gui.background import Task
from gui.session import Session
from gui.widgets import Notice


class Source(NamedTuple):
    """Where the dataset at `path` comes from, if it was made here."""

    path: Path
    origin: Origin | None
    there: bool = False
    """Whether the source still exists."""


class OriginNotice(Notice):
    """Hidden for every dataset that was not made here."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.session = session
        self._path: Path | None = None
        self._origin: Origin | None = None
        self.hide()
        self.pressed.connect(self._go_back)
        session.planned.connect(self.refresh)
        self.refresh()

    def refresh(self, _plan: object = None) -> None:
        """Look where another dataset comes from."""
        facts = self.session.facts.data
        path = facts.path if facts is not None else None
        if path == self._path:
            return
        self._path = path
        self.hide()
        if path is not None:
            Task(self, lambda: _look(path)).then(self._show).start()

    def _show(self, source: Source) -> None:
        facts = self.session.facts.data
        if facts is None or source.path != self._path or source.origin is None:
            return
        self._origin = source.origin
        fix = "Use the original again" if source.there else ""
        self.show_as("note", f"{_tell(source.origin, facts)}{'' if fix else _GONE}", fix)
        self.show()

    def _go_back(self) -> None:
        if self._origin is None:
            return
        back: dict[str, str] = {"path": portable(Path(self._origin.source))}
        if isinstance(self._origin, Parting):
            back["heldout"] = ""
        self.session.edit("data", self.session.recipe.data.model_copy(update=back))


_GONE = " The original is no longer where it was."


def _look(path: Path) -> Source:
    origin = origin_of(path)
    return Source(path, origin, origin is not None and Path(origin.source).exists())


def _tell(origin: Origin, facts: DataFacts) -> str:
    name = Path(origin.source).name
    if isinstance(origin, Record):
        edited = "" if origin.copy_digest == facts.digest else " It was changed by hand since."
        return f"A mended copy of {name}: {_changes(origin)}.{edited}"
    sizes = ", ".join(f"{part.rows:,} rows in {Path(part.path).name}" for part in origin.parts)
    return f"A part of {name}, split without leaks: {sizes}."


def _changes(record: Record) -> str:
    lost = record.rows_before - record.rows_after
    edited = sum(change.count for change in record.changes if change.action == "changed")
    broken = sum(c.count for c in record.changes if c.action == "left out") - lost
    said = [
        f"{count:,} {what if count != 1 else what.replace('s ', ' ', 1)}"
        for count, what in (
            (lost, "rows left out"),
            (broken, "broken lines left out"),
            (edited, "texts changed"),
        )
        if count
    ]
    return ", ".join(said)
