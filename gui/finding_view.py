"""One finding of the doctor: what, how often, why it matters, where, and whether to mend it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from core.errors import CoreError
from core.excerpts import Excerpt
from core.findings import DataFinding
from gui import theme
from gui.background import Task
from gui.excerpt_view import ExcerptView
from gui.parts import Disclosure
from gui.widgets import Chip, Level, PlainLabel

SHOWN = 5
"""Rows of a finding that are shown."""
SEVERITIES: dict[str, Level] = {"error": "bad", "warning": "warn", "note": "note"}
_ICONS = {"error": "circle-x", "warning": "triangle-alert", "note": "info"}
_COLOURS = {"error": "bad", "warning": "warn", "note": "accent"}

Look = Callable[[str, Collection[int]], Callable[[], dict[int, Excerpt]]]
"""Gives what fetches rows, from the code of the finding and their lines."""


class FindingView(QFrame):
    """A finding in words; unfolding it fetches its rows."""

    ticked = Signal()
    """The user chose whether to mend it."""

    def __init__(self, finding: DataFinding, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.finding, self._look = finding, look
        self.setProperty("kind", "finding")
        self.setAccessibleName(f"{finding.severity}: {finding.text}")
        self.tick = QCheckBox("Fix it in a copy")
        self.tick.setAccessibleName(f"Fix in a copy: {self.title}")
        self.tick.setAccessibleDescription(finding.fix)
        self.tick.setChecked(finding.mendable)
        self.tick.toggled.connect(self.ticked)
        self.rows = ExcerptView(f"Rows: {self.title}")
        self.trouble = PlainLabel("", "bad")
        self.unfolding = Disclosure(_unfold_words(finding), self._content())
        self.unfolding.button.setAccessibleName(f"{_unfold_words(finding)}: {self.title}")
        self.unfolding.button.toggled.connect(self._unfolded)
        self._lay_out()
        self.tick.setVisible(finding.mendable)
        self.unfolding.setVisible(bool(finding.rows))

    @property
    def title(self) -> str:
        """What it is called."""
        return self.finding.title or self.finding.code

    @property
    def wanted(self) -> bool:
        """Whether it is to be mended."""
        return self.finding.mendable and self.tick.isChecked()

    def _content(self) -> QWidget:
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.rows)
        column.addWidget(self.trouble)
        self.rows.hide()
        self.trouble.hide()
        return content

    def _lay_out(self) -> None:
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 12, 0, 4)
        line.setSpacing(10)
        picture = QLabel()
        theme.set_picture(
            picture, _ICONS[self.finding.severity], _COLOURS[self.finding.severity], 18
        )
        line.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(4)
        column.addLayout(self._head())
        column.addWidget(PlainLabel(self.finding.text))
        if self.finding.fix:
            column.addWidget(PlainLabel(_fix_words(self.finding), "muted"))
        column.addWidget(self.unfolding)
        line.addLayout(column, 1)

    def _head(self) -> QHBoxLayout:
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(PlainLabel(self.title, "strong"), 1)
        count = self.finding.count
        if self.finding.rows:
            level = SEVERITIES[self.finding.severity]
            head.addWidget(Chip(f"{count:,} row{'' if count == 1 else 's'}", level))
        head.addWidget(self.tick)
        return head

    def _unfolded(self, open: bool) -> None:
        if not open or not self.rows.isHidden():
            return
        code, lines = self.finding.code, {n for pair in _pairs(self.finding) for n in pair if n}
        task = Task(self, self._look(code, lines))
        task.then(self._show).failed(self._failed).start()

    def _show(self, found: dict[int, Excerpt]) -> None:
        rows = list(_headed(self.finding, found))
        self.rows.show_rows(rows)
        self.rows.setVisible(bool(rows))
        if not rows:
            self._failed(CoreError("These lines are no longer in the file."))

    def _failed(self, error: CoreError) -> None:
        self.trouble.setText(f"{error} {error.hint}".strip())
        self.trouble.show()


def _fix_words(finding: DataFinding) -> str:
    """What the copy does about it; rows that cannot be used are always left out."""
    if not finding.mendable:
        return finding.fix
    lost = finding.severity == "error"
    return f"Fix: Leaves them out. By hand: {finding.fix}" if lost else f"Fix: {finding.fix}"


def _unfold_words(finding: DataFinding) -> str:
    shown, count = min(SHOWN, len(finding.rows)), finding.count
    if count == 1:
        return "Show the row"
    return f"Show the {count:,} rows" if shown == count else f"Show the first {shown} rows"


def _pairs(finding: DataFinding) -> list[tuple[int, int]]:
    """Lines, each with the earlier line it belongs to, or 0."""
    partners = finding.partners or (0,) * len(finding.rows)
    return list(zip(finding.rows, partners, strict=False))[:SHOWN]


def _headed(finding: DataFinding, found: dict[int, Excerpt]) -> Iterator[tuple[str, Excerpt]]:
    for line, partner in _pairs(finding):
        if partner in found:
            yield f"Line {partner:,}, the earlier one", found[partner]
        if line in found:
            yield f"Line {line:,}", found[line]
