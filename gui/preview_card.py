"""What exactly will be learned: counts over all rows, and some rows token by token."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from core.errors import CoreError
from core.numbers import percent
from core.tokens import Preview, TokenFacts
from gui.parts import FactsTable
from gui.session import Session
from gui.template_choice import TemplateChoice
from gui.token_view import Legend, TokenView, visible
from gui.widgets import Card, Notice, PlainLabel, QuietButton


class PreviewCard(Card):
    """Draws the session's preview; the training code itself made it, so it cannot differ."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("What the model will learn", parent)
        self.session = session
        self._place = 0
        self.status = PlainLabel("", "muted")
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setAccessibleName("Counting tokens")
        self.trouble = Notice("bad")
        self.audit = Notice()
        self.counts, self.legend, self.view = FactsTable(), Legend(), TokenView()
        self.template = TemplateChoice(session)
        self.add(self.template, self.status, self.busy, self.trouble, self.audit, self.counts)
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
        preview = self.session.preview
        self.template.refresh()
        self.status.setText(self._status())
        self.status.setVisible(bool(self.status.text()))
        self.busy.setVisible(self.session.counting)
        self.trouble.setVisible(isinstance(preview, CoreError))
        if isinstance(preview, CoreError):
            self.trouble.show_as("bad", f"{preview} {preview.hint}".strip())
        known = isinstance(preview, Preview)
        for part in (self.audit, self.counts, self.turn, self.legend, self.view):
            part.setVisible(known)
        if isinstance(preview, Preview):
            self._show_audit(preview.tokens)
            self.counts.show_facts(describe_tokens(preview.tokens))
            self._show_row(self._place)

    def _show_audit(self, tokens: TokenFacts) -> None:
        good = tokens.ended == tokens.rows and not tokens.cut and not tokens.untrained
        self.audit.show_as("ok" if good else "warn", judge_tokens(tokens))

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


def judge_tokens(tokens: TokenFacts) -> str:
    """In one line whether the whole set teaches what it should."""
    if tokens.untrained:
        return (
            f"Nothing is learned from {tokens.untrained:,} of {tokens.rows:,} rows: at "
            f"{tokens.max_length:,} tokens they are cut before an answer begins. Raise the "
            "maximum length, or shorten them."
        )
    if tokens.ended < tokens.rows:
        return (
            f"In {tokens.rows - tokens.ended:,} of {tokens.rows:,} rows the end of the answer is "
            f"cut off at {tokens.max_length:,} tokens: from these the model does not learn to stop."
        )
    if tokens.cut:
        return f"{tokens.cut:,} of {tokens.rows:,} rows are cut, behind their last answer."
    return f"All {tokens.rows:,} rows are learned whole, the sign to stop included."


def describe_tokens(tokens: TokenFacts) -> list[tuple[str, str]]:
    """The counts in words."""
    share = tokens.trained / tokens.tokens if tokens.tokens else 0.0
    cut = f"{tokens.cut:,} of {tokens.rows:,}, at {tokens.max_length:,} tokens"
    facts = [
        ("Rows", f"{tokens.rows:,} to learn from, {tokens.heldout:,} held out"),
        (
            "Tokens learned",
            f"{tokens.trained:,} of {tokens.tokens:,} ({percent(share)})",
        ),
        (
            "Length of a row",
            f"median {tokens.median:,}, 95 % up to {tokens.p95:,}, longest {tokens.longest:,}",
        ),
        ("Rows cut", cut if tokens.cut else "none"),
        ("Nothing to learn in", _rows(tokens.untrained)),
        ("End of the answer", _ending(tokens)),
        *_lengths(tokens),
    ]
    note = tokens.template_note
    return [*facts, ("Chat template", note[:1].upper() + note[1:])] if note else facts


def _ending(tokens: TokenFacts) -> str:
    sign = f": {visible(tokens.end_token).strip()}" if tokens.end_token else ""
    if tokens.ended == tokens.rows:
        return f"learned in every row{sign}"
    return f"learned in {tokens.ended:,} of {tokens.rows:,} rows{sign}"


def _lengths(tokens: TokenFacts) -> Iterator[tuple[str, str]]:
    """What other maximum lengths would do."""
    if tokens.at_lengths and not any(at.cut or at.untrained for at in tokens.at_lengths):
        yield "Other lengths", f"no row would be cut at {tokens.at_lengths[0].length:,} tokens"
        return
    for at in tokens.at_lengths:
        share = at.cut / tokens.rows if tokens.rows else 0.0
        cut = f" ({percent(share, 1)})" if at.cut else ""
        lost = f", nothing to learn in {_rows(at.untrained)}" if at.untrained else ""
        yield f"At {at.length:,} tokens", f"{_rows(at.cut)} cut{cut}{lost}"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}" if count else "no row"
