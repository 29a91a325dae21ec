"""Memory: what training needs, item by item, and the cheapest ways to need less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QWidget

from core.errors import Edit, RecipeError
from core.memory import Item
from core.numbers import show_bytes
from core.plan import Plan, make_plan
from core.recipe import Recipe
from gui.pages.base import Page
from gui.parts import Pile
from gui.widgets import Card, Chip, FixButton, Level, Meter, Notice, PlainLabel, Swatch

TIGHT = 0.9
"""Above this share of the device an estimate is too rough to promise anything."""
_WORTH = 0.02
"""Savings below this share of the bill are not worth a line."""


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
        ways = tuple(self._savings(recipe, plan)) if known else ()
        self.ways.fill(ways, lambda: [self._way(edit, saved) for edit, saved in ways])
        self.savings.setVisible(bool(ways))

    def _savings(self, recipe: Recipe, plan: Plan) -> Iterator[tuple[Edit, int]]:
        """Changes that need less, the largest saving first, each worked out as a plan."""
        found = []
        for edit in cheaper(recipe):
            try:
                other = make_plan(recipe.edit(edit.path, edit.value), self.session.facts)
            except RecipeError:
                continue
            saved = plan.needed - other.needed
            if saved > _WORTH * plan.needed:
                found.append((edit, saved))
        yield from sorted(found, key=lambda entry: -entry[1])

    def _way(self, edit: Edit, saved: int) -> QWidget:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        button = FixButton("Apply")
        button.setAccessibleName(f"Apply: {edit.label}")
        button.clicked.connect(lambda: self.session.apply(edit))
        row.addWidget(PlainLabel(edit.label), 1)
        row.addWidget(Chip(f"−{show_bytes(saved)}", "ok"))
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


def cheaper(recipe: Recipe) -> Iterator[Edit]:
    """Changes that may need less memory, and what each costs."""
    training = recipe.training
    if training.micro_batch > 1:
        yield _halved_batch(training.model_dump(mode="json"))
    if training.checkpointing != "on":
        label = "Recompute activations (gradient checkpointing): about 25 % slower, same result"
        yield Edit(path="training.checkpointing", value="on", label=label)
    if training.max_length > 64:
        half = training.max_length // 2
        label = f"Cut rows at {half:,} tokens instead of {training.max_length:,}"
        yield Edit(path="training.max_length", value=half, label=label)
    if recipe.adaptation.kind == "full":
        label = "Train a LoRA adapter instead of all weights"
        yield Edit(path="adaptation", value={"kind": "lora"}, label=label)
    if recipe.adaptation.kind == "lora":
        shared = recipe.adaptation.model_dump(mode="json") | {"kind": "qlora"}
        label = "Store the frozen model in 4 bits (QLoRA): 5 to 20 % slower"
        yield Edit(path="adaptation", value=shared, label=label)


def _halved_batch(training: dict[str, Any]) -> Edit:
    batch, steps = training["micro_batch"], training["accumulation"]
    halved = training | {"micro_batch": batch // 2, "accumulation": steps * 2}
    label = f"Batch {batch:,} to {batch // 2:,}, accumulation {steps:,} to {steps * 2:,}"
    return Edit(path="training", value=halved, label=f"{label}: same result")


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
