"""Memory: what training needs, item by item, and the cheapest ways to need less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QWidget

from core.memory import Item
from core.numbers import show_bytes
from core.plan import Plan
from core.recipe import Recipe
from core.whatif import Saving, savings
from gui.pages.base import Page
from gui.parts import Pile
from gui.whatif import WhatIf
from gui.widgets import Card, Chip, FixButton, Level, Meter, Notice, PlainLabel, Swatch

TIGHT = 0.9
"""Above this share of the device an estimate is too rough to promise anything."""


class MemoryPage(Page):
    """The bill of the plan, drawn against the device."""

    title: ClassVar = "Memory"
    question: ClassVar = "Will it fit?"
    help: ClassVar = "An estimate from the shapes of the model, before anything is loaded."
    icon: ClassVar = "memory-stick"
    paths: ClassVar = ("training.micro_batch", "training.max_length", "training.checkpointing")

    def build(self) -> None:
        """Figure, bar, table, ways to save."""
        card = Card("Memory of one training step")
        card.header.addWidget(Chip("estimate"))
        self.figure, self.limit = PlainLabel("", "figure"), PlainLabel("", "muted")
        self.figure.setWordWrap(False)
        figures = QHBoxLayout()
        figures.setSpacing(8)
        figures.addWidget(self.figure, 0, Qt.AlignmentFlag.AlignBottom)
        figures.addWidget(self.limit, 1, Qt.AlignmentFlag.AlignBottom)
        card.body.addLayout(figures)
        self.meter = Meter("Memory by item")
        self.table = Pile()
        self.verdict = Notice()
        card.add(self.meter, self.table, self.verdict)
        self.body.addWidget(card)
        self.savings = Card("Ways to need less")
        self.ways = Pile()
        self.savings.add(self.ways)
        self.body.addWidget(self.savings)
        self.whatif = WhatIf(self.session)
        self.body.addWidget(self.whatif)
        self.body.addStretch(1)

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """Draw the bill."""
        known = bool(plan.items)
        self.figure.setText(show_bytes(plan.needed) if known else "–")
        self.limit.setText(f"of {show_bytes(plan.limit)}, {plan.device}" if plan.limit else "")
        said = f"{show_bytes(plan.needed)} of {show_bytes(plan.limit)} needed" if known else ""
        self.meter.set_parts([(i.name, i.bytes) for i in plan.items], plan.limit, said)
        self.table.fill(plan.items, lambda: [_table(plan.items)] if known else [])
        self.verdict.show_as(*judge(plan))
        ways = savings(recipe, self.session.facts) if known else ()
        self.ways.fill(ways, lambda: [self._way(way) for way in ways])
        self.savings.setVisible(bool(ways))
        self.whatif.setVisible(known)
        self.whatif.show_plan()

    def _way(self, way: Saving) -> QWidget:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        button = FixButton("Apply")
        button.setAccessibleName(f"Apply: {way.edit.label}")
        button.clicked.connect(lambda: self.session.apply(way.edit))
        row.addWidget(PlainLabel(way.edit.label), 1)
        row.addWidget(PlainLabel(_price(way), "small"))
        row.addWidget(Chip(f"−{show_bytes(way.bytes)}", "ok"))
        row.addWidget(button)
        return line


def judge(plan: Plan) -> tuple[Level, str]:
    """The verdict as a sentence."""
    if not plan.items:
        return "note", "Choose a model and a dataset first; then the bill is worked out."
    if not plan.limit:
        return "note", "The memory of the device is not known."
    spare = plan.limit - plan.needed
    if spare < 0:
        return "bad", f"Does not fit: {show_bytes(-spare)} more are needed."
    if plan.needed > TIGHT * plan.limit:
        return "warn", f"Tight: only {show_bytes(spare)} to spare, and this is an estimate."
    return "ok", f"Fits, {show_bytes(spare)} to spare."


def _price(way: Saving) -> str:
    """What a saving costs, in a few words."""
    slower = f"about {way.slower:.0%} slower" if way.slower else ""
    return ", ".join(filter(None, (slower, way.changes))) or "same result"


def _table(items: Sequence[Item]) -> QWidget:
    holder = QWidget()
    grid = QGridLayout(holder)
    grid.setContentsMargins(0, 4, 0, 4)
    grid.setHorizontalSpacing(12)
    grid.setVerticalSpacing(7)
    grid.setColumnStretch(2, 1)
    whole = sum(item.bytes for item in items)
    for line, item in enumerate(items):
        share = f"{item.bytes / whole:.0%}" if whole else ""
        amount = PlainLabel(show_bytes(item.bytes), "strong")
        amount.setAlignment(Qt.AlignmentFlag.AlignRight)
        grid.addWidget(Swatch(line), line, 0)
        grid.addWidget(PlainLabel(item.name), line, 1)
        grid.addWidget(PlainLabel(item.note, "small"), line, 2)
        grid.addWidget(PlainLabel(share, "muted"), line, 3)
        grid.addWidget(amount, line, 4)
    return holder
