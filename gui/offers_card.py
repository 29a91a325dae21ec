"""Other GPUs: where the training fits, how long it takes there, and what it costs to rent."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from core.catalog import find_gpu
from core.memory.choice import Option, best
from core.memory.cost import method_of
from core.memory.rules import compared
from core.numbers import percent, show_bytes, show_count, show_duration
from core.offers import offers_of
from core.plan_text import SPEED_BAND, called, priced
from core.whatif import largest_model
from gui.parts import Disclosure, Pile, WhenSeen
from gui.session import Session
from gui.verdict import level
from gui.widgets import Card, Chip, LinkButton, PlainLabel

SHOWN = 8
_HEADS = ("GPU", "Memory of each", "", "To spare", "Time", "Cost", "")


class OffersCard(WhenSeen):
    """A table of GPUs; any single one can be planned for."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.offers: tuple[Option, ...] = ()
        self.card = Card("Where it fits")
        self.said, self.largest = PlainLabel("", "muted"), PlainLabel("", "small")
        self.rule = PlainLabel("", "small")
        self.table, self.rest = Pile(), Pile()
        self.more = Disclosure("Show all GPUs", _holding(self.rest))
        self.card.add(self.said, self.table, self.more, self.largest, self.rule)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.card)

    def draw(self) -> None:
        """Judge every GPU of the catalogue for the plan as it is."""
        recipe, facts, plan = self.session.recipe, self.session.facts, self.session.plan
        if plan.bill is None:
            return
        self.offers = offers_of(recipe, facts)
        self.said.setText(_summary(self.offers, plan.tokens))
        first, others = self.offers[:SHOWN], self.offers[SHOWN:]
        shown = (self.offers, plan.tokens)
        self.table.fill(shown, lambda: [self._grid(first, plan.tokens)])
        self.rest.fill(shown, lambda: [self._grid(others, plan.tokens)])
        known = largest_model(recipe, facts)
        name = f"{known.name} ({show_count(known.counted)})" if known else "none"
        self.largest.setText(f"Largest well-known model that fits {plan.device} this way: {name}.")
        self.rule.setText(compared(method_of(recipe.adaptation), plan.parameters, plan.needed))
        self.rule.setVisible(bool(self.rule.text()))

    def _grid(self, options: Sequence[Option], tokens: int | None) -> QWidget:
        holder = QWidget()
        grid = QGridLayout(holder)
        grid.setContentsMargins(0, 4, 0, 4)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(0, 1)
        for column, head in enumerate(_HEADS):
            grid.addWidget(_cell(head, "small", right=column in (1, 3, 4, 5)), 0, column)
        for line, option in enumerate(options, 1):
            self._fill(grid, line, option, tokens)
        return holder

    def _fill(self, grid: QGridLayout, line: int, option: Option, tokens: int | None) -> None:
        hours, low, high = priced(option, tokens)
        spare = show_bytes(option.headroom_bytes) if option.fits != "no" else "–"
        grid.addWidget(_cell(called(option), "body"), line, 0)
        grid.addWidget(_cell(show_bytes(option.vram_bytes), "body", right=True), line, 1)
        grid.addWidget(Chip(option.fits, level(option.fits)), line, 2)
        for column, text in enumerate((spare, show_duration(3600 * hours), _money(low, high)), 3):
            grid.addWidget(_cell(text, "body", right=True), line, column)
        if option.count == 1:
            button = LinkButton("Plan for it")
            button.setAccessibleName(f"Plan for {option.name}")
            button.clicked.connect(lambda: self.session.plan_for(find_gpu(option.name)))
            grid.addWidget(button, line, 6)


def _holding(pile: Pile) -> QWidget:
    """Folded or not is decided outside; a pile shows itself when it is filled."""
    holder = QWidget()
    column = QVBoxLayout(holder)
    column.setContentsMargins(0, 0, 0, 0)
    column.addWidget(pile)
    return holder


def _cell(text: str, role: str, *, right: bool = False) -> PlainLabel:
    label = PlainLabel(text, role)  # type: ignore[arg-type]
    label.setWordWrap(False)
    if right:
        label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return label


def _money(low: float, high: float) -> str:
    lowest, highest = f"{low:.2f}", f"{high:.2f}"
    if highest == "0.00":
        return "under $0.01"
    return f"${lowest}" if lowest == highest else f"${lowest} – {highest}"


def _summary(options: Sequence[Option], tokens: int | None) -> str:
    """The best choice, and what time and cost are for."""
    chosen = best(options)
    found = f"Fewest and cheapest: {called(chosen)}." if chosen else "It fits on none of them."
    work = f"the {show_count(tokens)} tokens of this run" if tokens else "a million tokens"
    return (
        f"{found} Time and cost are for {work}, computed, and may be off by {percent(SPEED_BAND)}. "
        "Prices are what clouds asked lately. Several GPUs are for planning: Tunesmith itself "
        "trains on one so far."
    )
