"""What-if sliders of the Memory page: a curve, a level to stay under, and the largest that fits."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QSlider

from core.numbers import show_bytes
from core.plan import Plan
from core.recipe import Recipe
from core.settle import setup_of
from core.whatif import BATCH, LENGTH, curve, largest, setup_at, value_of
from gui.curves import Series
from gui.parts import WhenSeen
from gui.plots import Line, Plot
from gui.session import Session
from gui.widgets import Card, FixButton, PlainLabel

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768)
TOP_BATCH = 1024
OFF = 2
"""Points that need more than so many devices would press the others flat."""


class Axis(Card):
    """Memory against one field of the recipe; the slider edits the field itself."""

    def __init__(self, session: Session, title: str, unit: str, path: str) -> None:
        super().__init__()
        self.session, self.path, self._unit = session, path, unit
        self._values: tuple[int, ...] = ()
        self.plot = Plot(
            title, (Line("needed", "needed", 0, width=2, symbol="o"),), show_bytes,
            scale=1e-9, from_zero=True, height=150, unit=unit,
        )  # fmt: skip
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setPageStep(1)
        self.slider.setMinimumHeight(24)  # the handle is taller than Qt believes
        self.slider.setAccessibleName(title)
        self.slider.valueChanged.connect(self._moved)
        self.value = PlainLabel("", "strong")
        self.most = PlainLabel("", "small")
        self.take = FixButton("Use it")
        self.take.clicked.connect(self._use_most)
        self._most = 0
        self._lay_out()

    def _lay_out(self) -> None:
        slide = QHBoxLayout()
        self.value.setWordWrap(False)
        slide.addWidget(self.slider, 1)
        slide.addWidget(self.value)
        best = QHBoxLayout()
        best.addWidget(self.most, 1)
        best.addWidget(self.take)
        self.add(self.plot)
        self.body.addLayout(slide)
        self.body.addLayout(best)

    def show_values(self, recipe: Recipe, plan: Plan, values: Sequence[int], top: int) -> None:
        """Draw the curve of a plan, and where the recipe stands on it."""
        chosen = value_of(recipe, self.session.facts, self.path)
        self._values = tuple(sorted({*values, chosen}))
        self._show_slider(chosen)
        series, facts = Series(), self.session.facts
        recomputed = setup_of(recipe, facts).checkpointing
        fixed = recipe.edit("training.checkpointing", "on" if recomputed else "off")
        for value, needed in curve(fixed, facts, self.path, self._values):
            if value <= chosen or needed <= OFF * plan.limit:
                series.append(value, needed)
        limit = (float(plan.limit), "There are") if plan.limit else None
        self.plot.draw({"needed": series}, limit)
        self._show_most(recipe, chosen, top, recomputed=recomputed)

    def _show_slider(self, chosen: int) -> None:
        self.slider.blockSignals(True)
        self.slider.setRange(0, len(self._values) - 1)
        self.slider.setValue(bisect_right(self._values, chosen) - 1)
        self.slider.blockSignals(False)
        self.value.setText(f"{chosen:,}")
        self.slider.setAccessibleDescription(f"{self._unit} {chosen:,}")

    def _show_most(self, recipe: Recipe, chosen: int, top: int, *, recomputed: bool) -> None:
        facts = self.session.facts
        self._most = largest(recipe, facts, self.path, top)
        more = " or more" if self._most == top else ""
        if self._most and not recomputed:
            there = setup_at(recipe, facts, self.path, self._most)
            more += ", with activations recomputed" if there.checkpointing else ""
        self.most.setText(
            f"Largest that fits: {self._most:,}{more}." if self._most else "None fits."
        )
        self.take.setEnabled(self._most not in (0, chosen))
        self.take.setAccessibleName(f"Use {self._most:,}: {self.most.text()}")

    @Slot(int)
    def _moved(self, index: int) -> None:
        self.session.edit(self.path, self._values[index])

    @Slot()
    def _use_most(self) -> None:
        self.session.edit(self.path, self._most)


class WhatIf(WhenSeen):
    """Batch and length, side by side."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.batch = Axis(session, "Memory by batch", "Batch", BATCH)
        self.length = Axis(session, "Memory by length", "Length", LENGTH)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(12)
        for column, axis in enumerate((self.batch, self.length)):
            grid.addWidget(axis, 0, column)
            grid.setColumnStretch(column, 1)

    def draw(self) -> None:
        """Both curves of the plan, once there is one."""
        recipe, plan, model = self._session.recipe, self._session.plan, self._session.facts.model
        if model is None or not plan.items:
            return
        self.batch.show_values(recipe, plan, BATCHES, TOP_BATCH)
        top = model.context or LENGTHS[-1]
        lengths = [length for length in LENGTHS if length <= top]
        self.length.show_values(recipe, plan, lengths or [top], top)
