"""Ways to need less memory, each with its price; and, when nothing else helps, all at once."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QHBoxLayout, QWidget

from core.numbers import show_bytes
from core.plan import Plan
from core.recipe import Recipe
from core.whatif import Saving, ladder, savings
from gui.parts import Pile
from gui.session import Session
from gui.widgets import Card, Chip, FixButton, PlainLabel, QuietButton, row


class SavingsCard(Card):
    """One line per change; nothing is changed without a click."""

    def __init__(self, session: Session) -> None:
        super().__init__("Ways to need less")
        self.session = session
        self._ladder: tuple[Saving, ...] = ()
        self.said = PlainLabel("", "muted")
        self.ways = Pile()
        self.all = QuietButton("Make it fit", "check")
        self.all.clicked.connect(self._take_all)
        self.add(self.said)
        self.body.addLayout(row(self.all))
        self.add(self.ways)

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """What could be changed in this recipe."""
        facts = self.session.facts
        ways = savings(recipe, facts) if plan.items else ()
        self._ladder = ladder(recipe, facts) if plan.fit == "no" else ()
        self.said.setText(_steps(self._ladder) if self._ladder else _HOPELESS)
        self.said.setVisible(plan.fit == "no")
        self.all.setVisible(bool(self._ladder))
        self.ways.fill(ways, lambda: [self._way(way) for way in ways])
        self.setVisible(bool(ways) or plan.fit == "no")

    def _way(self, way: Saving) -> QWidget:
        line = QWidget()
        across = QHBoxLayout(line)
        across.setContentsMargins(0, 0, 0, 0)
        button = FixButton("Apply")
        button.setAccessibleName(f"Apply: {way.edit.label}")
        button.clicked.connect(lambda: self.session.apply(way.edit))
        across.addWidget(PlainLabel(way.edit.label), 1)
        across.addWidget(PlainLabel(way.price, "small"))
        across.addWidget(Chip(f"−{show_bytes(way.bytes)}", "ok"))
        across.addWidget(button)
        return line

    def _take_all(self) -> None:
        """One step back undoes them all."""
        recipe = self.session.recipe
        for way in self._ladder:
            recipe = recipe.edit(way.edit.path, way.edit.value)
        self.session.replace(recipe)


_HOPELESS = "No choice of batch, length or method makes it fit. Plan for a larger GPU."


def _steps(ways: Sequence[Saving]) -> str:
    """The whole ladder in a sentence."""
    named = "; ".join(f"{way.edit.label} (−{show_bytes(way.bytes)}, {way.price})" for way in ways)
    return f"It fits after: {named}."
