"""One stage of a path: what it is for, what there is for it, and the way to more."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Signal

from core.ladder import Stage
from gui.fields import Choice
from gui.widgets import Card, Chip, PlainLabel, QuietButton, row


class Rung(Card):
    """Draws one stage; the choice is the outcome that later stages build on."""

    chosen = Signal()
    """Another outcome was chosen."""

    def __init__(self, number: int, stage: Stage, words: str, go: Callable[[], None]) -> None:
        super().__init__(f"{number}. {stage.title}")
        self.chip = Chip()
        self.outcomes = Choice()
        self.outcomes.setAccessibleName(f"Outcome of: {stage.title}")
        self.outcomes.setMinimumWidth(360)
        self.outcomes.activated.connect(lambda _: self.chosen.emit())
        self.way = QuietButton(words, "arrow-right")
        self.way.clicked.connect(go)
        self.add(PlainLabel(stage.about))
        self.body.addLayout(row(self.chip, self.outcomes, self.way))

    @property
    def choice(self) -> str:
        """Key of the outcome that is chosen; empty while there is none."""
        return str(self.outcomes.currentData() or "")

    def offer(self, found: dict[str, str]) -> None:
        """Outcomes by key; what was chosen stays chosen, else the first one is."""
        before = self.choice
        self.outcomes.clear()
        for key, words in found.items():
            self.outcomes.addItem(words, key)
        self.outcomes.setCurrentIndex(max(0, self.outcomes.findData(before)))

    def draw(self, *, ready: bool) -> None:
        """Show whether the stage is done, can begin, or waits for the one before."""
        done = bool(self.choice)
        words = "done" if done else "can begin" if ready else "waits for the stage before"
        self.chip.show_as(words, "ok" if done else None)
        self.outcomes.setVisible(done)
        self.way.setEnabled(ready)
