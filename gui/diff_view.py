"""What a mended copy would change: counts, then before and after with the changes marked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtGui import QTextBlockFormat, QTextCursor
from PySide6.QtWidgets import QVBoxLayout, QWidget

from core.excerpts import Excerpt
from core.mending import Change, Example, Record
from gui.doctor import Draft
from gui.excerpt_view import ExcerptView, edged, spaced
from gui.fitted_text import FittedText, ink
from gui.parts import FactsTable, Pile
from gui.text import plain
from gui.widgets import LinkButton, PlainLabel, QuietButton, row

SHOWN = 3
"""Examples of one kind of change before more are asked for."""
_PIECES = re.compile(r"\s|\w+|[^\w\s]")

Span = tuple[str, bool]
"""Some text, and whether the other side lacks it."""


class DiffView(QWidget):
    """Asks whether the copy should be used."""

    accepted = Signal()
    refused = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.question = PlainLabel("Is this what you want? Nothing is used yet.", "strong")
        self.counts = FactsTable()
        self.accept = QuietButton("Use this copy", "check")
        self.refuse = QuietButton("Discard the copy", "x")
        self.accept.clicked.connect(self.accepted)
        self.refuse.clicked.connect(self.refused)
        self.changes = Pile(spacing=16)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addWidget(self.question)
        column.addWidget(self.counts)
        column.addLayout(row(self.accept, self.refuse))
        column.addWidget(self.changes)

    def show_draft(self, draft: Draft, titles: Mapping[str, str]) -> None:
        """Show one copy; `titles` are those of the findings, by their codes."""
        self.counts.show_facts(_counts(draft.record))
        self.changes.fill(
            draft,
            lambda: [
                ChangeView(change, titles.get(change.code, change.code), draft.before)
                for change in draft.record.changes
            ],
        )


class ChangeView(QWidget):
    """One kind of change, and some of its rows."""

    def __init__(
        self,
        change: Change,
        title: str,
        before: Mapping[str, Mapping[int, Excerpt]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._change, self._lost = change, before.get(change.code, {})
        self.title = PlainLabel(f"{title}: {_rows(change.count)} {change.action}", "strong")
        name = f"{title}, before and after"
        self.text = DiffText(name) if change.action == "changed" else ExcerptView(name)
        self.more = LinkButton(f"Show {len(change.examples) - SHOWN:,} more")
        self.more.setAccessibleName(f"{self.more.text()} rows: {title}")
        self.more.clicked.connect(lambda: self._show(len(change.examples)))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for widget in (self.title, self.text, self.more):
            column.addWidget(widget)
        self._show(SHOWN)

    def _show(self, most: int) -> None:
        examples = self._change.examples
        self.more.setVisible(len(examples) > most)
        if isinstance(self.text, DiffText):
            self.text.show_examples(examples[:most])
        else:
            lost = [self._lost[e.line] for e in examples[:most] if e.line in self._lost]
            self.text.show_rows([(f"Line {row.line:,}, left out", row) for row in lost])


class DiffText(FittedText):
    """Texts before and after; what only one side has is marked by colour and by pattern."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        self._examples: tuple[Example, ...] = ()
        super().__init__(name, parent)

    def show_examples(self, examples: Sequence[Example]) -> None:
        """Show changes below each other."""
        self._examples = tuple(examples)
        self.draw()

    def draw(self) -> None:
        """Write all changes."""
        self.clear()
        cursor = QTextCursor(self.document())
        for place, example in enumerate(self._examples):
            if place:
                cursor.insertBlock(spaced(14))
            cursor.insertText(f"Line {example.line:,}", ink("text", bold=True))
            before, after = compare(example.before, example.after or "")
            _write(cursor, "before", before, "bad")
            _write(cursor, "after", after, "ok")


def _write(cursor: QTextCursor, word: str, spans: Sequence[Span], colour: str) -> None:
    cursor.insertBlock(spaced(4))
    cursor.insertText(word, ink("muted", bold=True))
    cursor.insertBlock(QTextBlockFormat())
    marked = ink(colour, ground=f"{colour}_soft")
    marked.setFontStrikeOut(colour == "bad")
    marked.setFontUnderline(colour == "ok")
    for text, only_here in spans:
        said = plain(text)
        cursor.insertText(edged(said) if only_here else said, marked if only_here else ink("text"))


def compare(before: str, after: str) -> tuple[list[Span], list[Span]]:
    """Both texts in stretches, those that the other lacks told apart."""
    old, new = _PIECES.findall(before), _PIECES.findall(after)
    codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    left = [("".join(old[a:b]), tag != "equal") for tag, a, b, _, _ in codes if a < b]
    right = [("".join(new[a:b]), tag != "equal") for tag, _, _, a, b in codes if a < b]
    return left, right


def _counts(record: Record) -> Iterator[tuple[str, str]]:
    lost = sum(change.count for change in record.changes if change.action == "left out")
    edited = sum(change.count for change in record.changes if change.action == "changed")
    yield "Rows", f"{record.rows_before:,} before, {record.rows_after:,} after"
    yield "Left out", _rows(lost) if lost else "nothing"
    yield "Changed", f"{edited:,} times" if edited else "nothing"
    yield "New file", record.copy_path
    yield "Original", f"{Path(record.source).name} stays as it is"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
