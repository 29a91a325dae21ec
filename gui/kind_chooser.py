"""Cards for the kinds of a choice: the usual ones in the open, the others by family on demand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, ClassVar, Protocol

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from gui.parts import Disclosure, OptionCard
from gui.widgets import PlainLabel

COLUMNS = 2
USUAL = ""
"""The family whose cards always show."""


class Kind(Protocol):
    """What a card needs to know of a class."""

    title: ClassVar[str]
    summary: ClassVar[str]
    family: ClassVar[str]
    model_fields: Any


class KindChooser(QWidget):
    """One card a kind; exactly one is marked, whichever family it belongs to."""

    chosen = Signal(object)
    """A card was pressed (the kind's class)."""

    def __init__(self, kinds: Sequence[type[Any]], more: str) -> None:
        super().__init__()
        self.options: dict[str, OptionCard] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        usual = [kind for kind in kinds if kind.family == USUAL]
        rest = [kind for kind in kinds if kind.family != USUAL]
        column.addWidget(self._grid(usual))
        self.more = Disclosure(more, self._families(rest))
        self._hidden = {name_of(kind) for kind in rest}
        self.more.setVisible(bool(rest))
        column.addWidget(self.more)

    def mark(self, name: str) -> None:
        """Show which kind is chosen; one that is folded away is brought into the open."""
        for each, option in self.options.items():
            option.setChecked(each == name)
        if name in self._hidden:
            self.more.unfold(True)

    def _families(self, kinds: Sequence[type[Kind]]) -> QWidget:
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        order = list(dict.fromkeys(kind.family for kind in kinds))
        for family, group in groupby(
            sorted(kinds, key=lambda kind: order.index(kind.family)), key=lambda kind: kind.family
        ):
            column.addWidget(PlainLabel(family, "muted"))
            column.addWidget(self._grid(list(group)))
        return holder

    def _grid(self, kinds: Sequence[type[Kind]]) -> QWidget:
        holder = QWidget()
        grid = QGridLayout(holder)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(12)
        for place, kind in enumerate(kinds):
            option = OptionCard(kind.title, kind.summary)
            option.setAutoExclusive(False)  # cards of other families count too
            option.clicked.connect(lambda _, kind=kind: self.chosen.emit(kind))
            self.options[name_of(kind)] = option
            grid.addWidget(option, place // COLUMNS, place % COLUMNS)
            grid.setColumnStretch(place % COLUMNS, 1)
        return holder


def name_of(kind: type[Any]) -> str:
    """How a recipe calls a kind."""
    return str(kind.model_fields["kind"].default)
