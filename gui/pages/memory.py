"""Memory: what training needs, item by item, where it fits, and how to need less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QWidget

from core.catalog import find_gpu, gpus
from core.memory import Item
from core.numbers import percent, show_bytes
from core.plan import Plan
from core.plan_text import doubt
from core.problems import MACHINE
from core.recipe import Recipe
from gui.fields import Choice
from gui.offers_card import OffersCard
from gui.pages.base import Page
from gui.parts import Pile
from gui.plan_export import ExportButton
from gui.savings_card import SavingsCard
from gui.session import Session
from gui.trace_card import TraceCard
from gui.trial_card import TrialCard
from gui.verdict import judge, method
from gui.whatif import WhatIf
from gui.widgets import Card, Chip, Meter, Notice, PlainLabel, Swatch, row


class MemoryPage(Page):
    """The bill of the plan, drawn against the device."""

    title: ClassVar = "Memory"
    question: ClassVar = "Will it fit?"
    help: ClassVar = "Worked out from the shapes of the model, before anything is loaded."
    icon: ClassVar = "memory-stick"
    paths: ClassVar = (
        MACHINE, "training.micro_batch", "training.max_length", "training.checkpointing",
    )  # fmt: skip

    def build(self) -> None:
        """Device, bill, one step, ways to save, curves, other GPUs."""
        self.bill = BillCard(self.session)
        self.trace = TraceCard(self.session)
        self.trial = TrialCard(self.session)
        self.savings = SavingsCard(self.session)
        self.whatif = WhatIf(self.session)
        self.offers = OffersCard(self.session)
        parts = (self.bill, self.savings, self.trace, self.trial, self.whatif, self.offers)
        for part in parts:
            self.body.addWidget(part)
        self.body.addStretch(1)

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """Draw the bill and what follows from it."""
        known = bool(plan.items)
        self.bill.show_plan(plan)
        self.savings.show_plan(recipe, plan)
        self.trace.show_plan(plan)
        self.trial.show_plan(recipe, plan)
        for part in (self.trace, self.trial, self.whatif, self.offers):
            part.setVisible(known)
        self.whatif.refresh()
        self.offers.refresh()


class BillCard(Card):
    """The device, the figure, the bar, the items and the verdict."""

    def __init__(self, session: Session) -> None:
        super().__init__("Memory of one training step")
        self.session = session
        self.method = Chip("estimate")
        self.export = ExportButton(session)
        self.header.addWidget(self.method)
        self.header.addWidget(self.export)
        self.device = Choice()
        self.device.setAccessibleName("Plan for")
        self.device.addItem(_own(session), "")
        for gpu in gpus():
            self.device.addItem(f"{gpu.name}, {show_bytes(gpu.vram_bytes)}", gpu.name)
        self.device.activated.connect(self._plan_for)
        self.figure, self.limit = PlainLabel("", "figure"), PlainLabel("", "muted")
        self.figure.setWordWrap(False)
        self.meter = Meter("Memory by item")
        self.doubt = PlainLabel("", "small")
        self.table, self.verdict = Pile(), Notice()
        self._lay_out()

    def _lay_out(self) -> None:
        label = PlainLabel("Plan for", "muted")
        label.setBuddy(self.device)
        self.body.addLayout(row(label, self.device))
        figures = QHBoxLayout()
        figures.setSpacing(8)
        figures.addWidget(self.figure, 0, Qt.AlignmentFlag.AlignBottom)
        figures.addWidget(self.limit, 1, Qt.AlignmentFlag.AlignBottom)
        self.body.addLayout(figures)
        self.add(self.meter, self.doubt, self.table, self.verdict)

    @Slot(int)
    def _plan_for(self, index: int) -> None:
        name = self.device.itemData(index)
        self.session.plan_for(find_gpu(name) if name else None)

    def show_plan(self, plan: Plan) -> None:
        """Draw the bill."""
        known, machine = bool(plan.items), self.session.facts.machine
        self.device.setCurrentIndex(
            self.device.findData(machine.gpus[0].name) if machine.planned else 0
        )
        self.method.show_as(method(plan))
        self.export.setVisible(known)
        self.figure.setText(show_bytes(plan.needed) if known else "–")
        self.limit.setText(f"of {show_bytes(plan.limit)}, {plan.device}" if plan.limit else "")
        said = doubt(plan.bill) if plan.bill else ""
        self.doubt.setText(f"{said[:1].upper()}{said[1:]}.")
        self.doubt.setVisible(known)
        needed = f"{show_bytes(plan.needed)} of {show_bytes(plan.limit)} needed" if known else ""
        self.meter.set_parts([(i.name, i.bytes) for i in plan.items], plan.limit, needed)
        self.table.fill(plan.items, lambda: [_table(plan.items)] if known else [])
        self.verdict.show_as(*judge(plan))


def _own(session: Session) -> str:
    cards = session.machine.gpus
    return f"This computer: {cards[0].name}" if cards else "This computer, without a GPU"


def _table(items: Sequence[Item]) -> QWidget:
    holder = QWidget()
    grid = QGridLayout(holder)
    grid.setContentsMargins(0, 4, 0, 4)
    grid.setHorizontalSpacing(12)
    grid.setVerticalSpacing(7)
    grid.setColumnStretch(2, 1)
    whole = sum(item.bytes for item in items)
    for line, item in enumerate(items):
        share = percent(item.bytes / whole) if whole else ""
        amount = PlainLabel(show_bytes(item.bytes), "strong")
        amount.setAlignment(Qt.AlignmentFlag.AlignRight)
        grid.addWidget(Swatch(line), line, 0)
        grid.addWidget(PlainLabel(item.name), line, 1)
        grid.addWidget(PlainLabel(item.note, "small"), line, 2)
        grid.addWidget(PlainLabel(share, "muted"), line, 3)
        grid.addWidget(amount, line, 4)
    return holder
