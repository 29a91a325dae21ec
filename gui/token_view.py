"""Rows as the model sees them: what is learned, what is only read, what is cut off."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from PySide6.QtGui import QColor, QTextBlockFormat, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QHBoxLayout, QWidget

from core.tokens import PieceKind, PreviewRow
from gui import theme
from gui.fitted_text import FittedText, ink
from gui.text import plain
from gui.widgets import Chip, Level, PlainLabel

MOST_LETTERS = 8_000
"""Of one row; beyond that nobody reads on, and Qt takes minutes for a line without spaces."""
LONGEST_PIECE = 200
_KINDS: tuple[tuple[PieceKind, Level | None, str, str], ...] = (
    ("trained", "ok", "learned", "the model is trained to write this"),
    ("context", None, "only read", "seen as context, not learned"),
    ("expected", "warn", "compared with", "the expected answer, never learned"),
    ("cut", "bad", "cut off", "beyond the maximum length, never seen"),
)
_LINES = {"trained": "underline", "context": "none", "expected": "none", "cut": "line-through"}


class TokenView(FittedText):
    """Token by token, in colour and in pattern, as plain text: nothing in it can be markup."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self._rows: tuple[PreviewRow, ...] = ()
        super().__init__("Rows as the model sees them", parent)

    def show_rows(self, rows: Sequence[PreviewRow]) -> None:
        """Show rows one below the other."""
        self._rows = tuple(rows)
        self.setAccessibleDescription(" ".join(_summary(row) for row in rows))
        self.draw()

    def draw(self) -> None:
        """Write all tokens."""
        self.clear()
        cursor = QTextCursor(self.document())
        for number, row in enumerate(self._rows):
            if number:
                cursor.insertBlock(_spaced())
            cursor.insertText(_summary(row), ink("muted", bold=True))
            cursor.insertBlock(QTextBlockFormat())
            self._insert(cursor, row)
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def _insert(self, cursor: QTextCursor, row: PreviewRow) -> None:
        formats = {(kind, odd): _format(kind, odd) for kind, *_ in _KINDS for odd in (False, True)}
        room = MOST_LETTERS
        for place, piece in enumerate(row.pieces):
            text = visible(piece.text)
            if place == len(row.pieces) - 1:
                text = text.removesuffix("\n")
            if piece.kind == "expected":
                cursor.insertBlock(_spaced())
            room -= len(text)
            if room < 0:
                left = len(row.pieces) - place + row.beyond
                cursor.insertText(f" … and {left:,} more tokens", ink("muted", bold=True))
                return
            cursor.insertText(text, formats[piece.kind, bool(place % 2)])
        if row.beyond:
            cursor.insertText(f" … and {row.beyond:,} more tokens", ink("muted", bold=True))


class Legend(QWidget):
    """What colours and patterns mean."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(6)
        self._parts: dict[PieceKind, tuple[Chip, PlainLabel]] = {}
        for kind, level, word, meaning in _KINDS:
            chip, told = Chip(word, level), PlainLabel(meaning, "small")
            chip.setStyleSheet(f"text-decoration: {_LINES[kind]};")
            line.addWidget(chip)
            line.addWidget(told, 1)
            self._parts[kind] = chip, told

    def show_kinds(self, kinds: Collection[PieceKind]) -> None:
        """Explain these alone."""
        for kind, parts in self._parts.items():
            for part in parts:
                part.setVisible(kind in kinds)


def visible(text: str) -> str:
    """Line ends get a sign of their own, so that a learned one can be seen."""
    return plain(text, LONGEST_PIECE).replace("\n", "⏎\n").replace("\t", "⇥\t")


def _summary(row: PreviewRow) -> str:
    counts = {kind: sum(piece.kind == kind for piece in row.pieces) for kind, *_ in _KINDS}
    cut = f", {counts['cut']:,} cut off" if counts["cut"] else ""
    cut += f", {row.beyond:,} more are not shown" if row.beyond else ""
    side = f", {row.answer} answer" if row.answer else ""
    compared = " Then the expected answer." if counts["expected"] else ""
    return (
        f"Line {row.line:,}{side}: {len(row.pieces) - counts['expected']:,} tokens, "
        f"{counts['trained']:,} learned, {counts['context']:,} only read{cut}.{compared}"
    )


def _spaced() -> QTextBlockFormat:
    style = QTextBlockFormat()
    style.setTopMargin(14)
    return style


def _format(kind: PieceKind, odd: bool) -> QTextCharFormat:
    """Neighbouring tokens differ a little, so that their borders can be seen."""
    colours, style = theme.current(), QTextCharFormat()
    style.setFontFamilies(["DejaVu Sans Mono", "Consolas", "Menlo", "monospace"])
    ink, ground = {
        "trained": (colours.ok, colours.ok_soft),
        "context": (colours.muted, colours.raised),
        "expected": (colours.warn, colours.warn_soft),
        "cut": (colours.bad, colours.bad_soft),
    }[kind]
    paper = QColor(ground)
    style.setForeground(QColor(ink))
    style.setBackground(_shade(paper, colours.dark) if odd else paper)
    style.setFontUnderline(kind == "trained")
    style.setFontStrikeOut(kind == "cut")
    return style


def _shade(colour: QColor, dark: bool) -> QColor:
    return colour.darker(122) if dark else colour.lighter(104)
