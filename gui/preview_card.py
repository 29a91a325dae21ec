"""What exactly will be learned: counts over all rows, and some rows token by token."""

from __future__ import annotations

from functools import partial
from itertools import groupby, zip_longest

from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from core.errors import CoreError, Edit
from core.oddities import Oddities, sentences
from core.tokens import PieceKind, Preview, TokenFacts
from gui.parts import FactsTable
from gui.preview_words import describe_tokens, judge_tokens
from gui.session import Session
from gui.template_choice import TemplateChoice
from gui.text import wrappable
from gui.token_view import Legend, TokenView
from gui.widgets import Card, Notice, PlainLabel, QuietButton

MOST_ODD = 3
"""Kinds of what may be strange about rows and template."""
LEARNED, ASKED = "What the model will learn", "What the model will be asked"
_LEARNED: tuple[PieceKind, ...] = ("trained", "context", "cut")
_ASKED: tuple[PieceKind, ...] = ("context", "cut")
_COMPARED: tuple[PieceKind, ...] = ("context", "expected", "cut")


class PreviewCard(Card):
    """Draws the session's preview; the training code itself made it, so it cannot differ."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(LEARNED, parent)
        self.session = session
        self._place = 0
        self._fixes: list[Edit | None] = []
        self.status = PlainLabel("", "muted")
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setAccessibleName("Counting tokens")
        self.trouble = Notice("bad")
        self.audit = Notice()
        self.odd = [Notice("warn", on_fix=partial(self._mend, place)) for place in range(MOST_ODD)]
        self.counts, self.legend, self.view = FactsTable(), Legend(), TokenView()
        self.template = TemplateChoice(session)
        self.add(self.template, self.status, self.busy, self.trouble, self.audit, *self.odd)
        self.add(self.counts)
        self.body.addWidget(self._turning())
        self.add(self.legend, self.view)
        session.previewed.connect(self._begin)
        self.refresh()

    def _turning(self) -> QWidget:
        """Steps through the rows, so that the page stays short."""
        self.turn = QWidget()
        line = QHBoxLayout(self.turn)
        line.setContentsMargins(0, 4, 0, 0)
        self.which = PlainLabel("", "strong")
        self.back, self.forth = QuietButton("Previous row"), QuietButton("Next row")
        self.back.clicked.connect(lambda: self._show_row(self._place - 1))
        self.forth.clicked.connect(lambda: self._show_row(self._place + 1))
        line.addWidget(self.which, 1)
        line.addWidget(self.back)
        line.addWidget(self.forth)
        return self.turn

    def _begin(self) -> None:
        self._place = 0
        self.refresh()

    def refresh(self) -> None:
        """Draw what is known now."""
        preview, goal = self.session.preview, self.session.recipe.objective
        self.heading.setText(ASKED if goal.room else LEARNED)
        self.legend.show_kinds(_COMPARED if goal.compares else _ASKED if goal.room else _LEARNED)
        self.template.refresh()
        self.status.setText(self._status())
        self.status.setVisible(bool(self.status.text()))
        self.busy.setVisible(self.session.counting)
        self.trouble.setVisible(isinstance(preview, CoreError))
        if isinstance(preview, CoreError):
            self.trouble.show_as("bad", f"{preview} {preview.hint}".strip())
        known = isinstance(preview, Preview)
        for part in (*self.odd, self.audit, self.counts, self.turn, self.legend, self.view):
            part.setVisible(known)
        if isinstance(preview, Preview):
            self._show_audit(preview.tokens)
            self._show_odd(preview.tokens.oddities)
            self.counts.show_facts(describe_tokens(preview.tokens))
            self._show_row(self._place)

    def _show_audit(self, tokens: TokenFacts) -> None:
        whole = bool(tokens.room) or tokens.ended == tokens.rows
        good = whole and not tokens.cut and not tokens.untrained
        self.audit.show_as("ok" if good else "warn", judge_tokens(tokens))

    def _show_odd(self, oddities: Oddities) -> None:
        """What strangers may have put into rows and template, each with its way out."""
        self._fixes = [oddity.fix for oddity in sentences(oddities)]
        texts = [f"{oddity.text} {oddity.hint}" for oddity in sentences(oddities)]
        for notice, text, fix in zip_longest(self.odd, texts, self._fixes):
            notice.setVisible(text is not None)
            notice.show_as("warn", wrappable(text or ""), fix.label if fix else "")

    def _mend(self, place: int) -> None:
        if fix := self._fixes[place]:
            self.session.edit(fix.path, fix.value)

    def _show_row(self, place: int) -> None:
        preview = self.session.preview
        sides = preview.rows if isinstance(preview, Preview) else ()
        rows = [list(row) for _, row in groupby(sides, key=lambda side: side.line)]
        self._place = min(max(place, 0), max(0, len(rows) - 1))
        self.view.show_rows(rows[self._place] if rows else ())
        self.which.setText(f"Row {self._place + 1} of the first {len(rows)}, token by token")
        self.back.setEnabled(self._place > 0)
        self.forth.setEnabled(self._place < len(rows) - 1)

    def _status(self) -> str:
        facts = self.session.facts
        if self.session.counting:
            return (
                "Reading every row with the model's tokenizer and the chat template. This takes "
                "10 to 15 seconds."
            )
        if self.session.preview is not None:
            return ""
        if facts.model is None and facts.data is None:
            return "Choose a model and a dataset; then the rows are shown as the model sees them."
        if facts.model is None:
            return "Choose a model; then the rows are shown as the model sees them."
        return "Choose a dataset; then the rows are shown as the model sees them."
