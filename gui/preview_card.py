"""What exactly will be learned: counts over all rows, and some rows token by token."""

from __future__ import annotations

from PySide6.QtWidgets import QProgressBar, QWidget

from core.errors import CoreError
from core.tokens import Preview, TokenFacts
from gui.parts import FactsTable
from gui.session import Session
from gui.token_view import Legend, TokenView
from gui.widgets import Card, Notice, PlainLabel


class PreviewCard(Card):
    """Draws the session's preview; the training code itself made it, so it cannot differ."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("What the model will learn", parent)
        self.session = session
        self.status = PlainLabel("", "muted")
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setAccessibleName("Counting tokens")
        self.trouble = Notice("bad")
        self.counts, self.legend, self.view = FactsTable(), Legend(), TokenView()
        self.view.setMinimumHeight(320)
        self.add(self.status, self.busy, self.trouble, self.counts, self.legend, self.view)
        session.previewed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Draw what is known now."""
        preview = self.session.preview
        self.status.setText(self._status())
        self.status.setVisible(bool(self.status.text()))
        self.busy.setVisible(self.session.counting)
        self.trouble.setVisible(isinstance(preview, CoreError))
        if isinstance(preview, CoreError):
            self.trouble.show_as("bad", f"{preview} {preview.hint}".strip())
        known = isinstance(preview, Preview)
        for part in (self.counts, self.legend, self.view):
            part.setVisible(known)
        if isinstance(preview, Preview):
            self.counts.show_facts(describe_tokens(preview.tokens))
            self.view.show_rows(preview.rows)

    def _status(self) -> str:
        facts = self.session.facts
        if self.session.counting:
            return (
                "Reading every row with the model's own tokenizer and chat template. This takes "
                "10 to 15 seconds."
            )
        if self.session.preview is not None:
            return ""
        if facts.model is None and facts.data is None:
            return "Choose a model and a dataset; then the rows are shown as the model sees them."
        if facts.model is None:
            return "Choose a model; then the rows are shown as the model sees them."
        return "Choose a dataset; then the rows are shown as the model sees them."


def describe_tokens(tokens: TokenFacts) -> list[tuple[str, str]]:
    """The counts in words."""
    share = tokens.trained / tokens.tokens if tokens.tokens else 0.0
    cut = f"{tokens.cut:,} of {tokens.rows:,}, at {tokens.max_length:,} tokens"
    facts = [
        ("Rows", f"{tokens.rows:,} to learn from, {tokens.heldout:,} held out"),
        ("Tokens learned", f"{tokens.trained:,} of {tokens.tokens:,} ({share:.0%})"),
        (
            "Length of a row",
            f"median {tokens.median:,}, 95 % up to {tokens.p95:,}, longest {tokens.longest:,}",
        ),
        ("Rows cut", cut if tokens.cut else "none"),
        ("Nothing to learn in", f"{tokens.untrained:,} rows" if tokens.untrained else "no row"),
    ]
    note = tokens.template_note
    return [*facts, ("Chat template", note[:1].upper() + note[1:])] if note else facts
