"""A line for a file or a folder, with a button that lets it be chosen."""

from __future__ import annotations

from collections.abc import Callable

from pydantic.fields import FieldInfo
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from core.places import expand, runs_home
from core.value import FILE
from gui.fields import Field, LineEdit, marks
from gui.rate_edit import mark
from gui.text import tip
from gui.widgets import QuietButton


class PathField(Field):
    """What can be typed, such as the name of a model on the Hub, or chosen on this computer."""

    def __init__(self, info: FieldInfo) -> None:
        self.edit, self.browse = LineEdit(), QuietButton("Browse…", "folder-open")
        self._info, self._value = info, ""
        holder = QWidget()
        super().__init__(holder, info)
        holder.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        holder.setFocusProxy(self.edit)
        self.edit.setAccessibleName(info.title or "")
        self.edit.setAccessibleDescription(self.about)
        self.edit.setProperty("taught", self.about)
        self.browse.setAccessibleName(f"Browse: {info.title}")
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.edit)
        column.addWidget(self.browse, 0, Qt.AlignmentFlag.AlignLeft)
        self.edit.committed.connect(lambda text: self.wanted.emit(text))
        self.browse.clicked.connect(
            lambda: ask_path(holder, self._info, self._value, self.wanted.emit)
        )

    def show(self, value: str) -> None:
        """Show a path; the whole of a long one when the mouse rests on it."""
        self._value = value
        self.edit.set_text(value)
        self.edit.setToolTip(tip(value))

    def mark(self, reason: str) -> None:
        """Draw the line as refused, or clear that."""
        mark(self.edit, reason)


def ask_path(parent: QWidget, info: FieldInfo, now: str, then: Callable[[str], object]) -> None:
    """Let the user choose what a field names; `then` is handed its path."""
    kind = marks(info).get(FILE)
    dialog = QFileDialog(parent, f"Choose: {info.title}", _start(now, folder=kind is None))
    if kind is None:
        dialog.setFileMode(QFileDialog.FileMode.Directory)
    else:
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilter(str(kind))
    dialog.fileSelected.connect(then)
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()


def _start(now: str, *, folder: bool) -> str:
    """Beside what is chosen already; folders that are wanted are mostly those of runs."""
    if now and (chosen := expand(now).expanduser()).exists():
        return str(chosen.parent)
    return str(runs_home()) if folder and runs_home().is_dir() else ""
