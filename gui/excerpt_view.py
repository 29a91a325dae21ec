"""Some rows of a dataset, as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtGui import QTextBlockFormat, QTextCursor
from PySide6.QtWidgets import QWidget

from core.excerpts import Excerpt
from gui.fitted_text import FittedText, ink
from gui.text import plain


class ExcerptView(FittedText):
    """Rows below each other: where each stands, then who says what."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        self._rows: tuple[tuple[str, Excerpt], ...] = ()
        super().__init__(name, parent)

    def show_rows(self, rows: Sequence[tuple[str, Excerpt]]) -> None:
        """Show rows, each under a heading."""
        self._rows = tuple(rows)
        self.draw()

    def draw(self) -> None:
        """Write all rows."""
        self.clear()
        cursor = QTextCursor(self.document())
        for place, (heading, row) in enumerate(self._rows):
            if place:
                cursor.insertBlock(spaced(14))
            cursor.insertText(heading, ink("text", bold=True))
            for said in row.said:
                cursor.insertBlock(spaced(4))
                cursor.insertText(plain(said.role, _ROLE), ink("muted", bold=True))
                cursor.insertBlock(QTextBlockFormat())
                cursor.insertText(edged(plain(said.text)), ink("text"))


_ROLE = 80
"""Letters of a role, or of the name of a column."""
_SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥"}


def edged(text: str) -> str:
    """Blanks at the ends of a text, which cannot be seen, as signs."""
    inside = text.strip()
    front = text[: len(text) - len(text.lstrip())] if inside else text
    back = text[len(text.rstrip()) :] if inside else ""
    return f"{_signs(front)}{inside}{_signs(back)}"


def _signs(blanks: str) -> str:
    return "".join(_SIGNS.get(blank, blank) for blank in blanks)


def spaced(above: float) -> QTextBlockFormat:
    """A paragraph with room above it."""
    style = QTextBlockFormat()
    style.setTopMargin(above)
    return style
