"""One entry of the queue: what it is, how it stands, and what can be done with it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from core.errors import RecipeError
from core.history import Outcome
from core.queue import IN_HAND, Entry
from gui.widgets import Chip, IconButton, Level, LinkButton, PlainLabel

_LEVELS: dict[str, Level | None] = {
    "waiting": None,
    "starting": "note",
    "running": "note",
    "paused": "warn",
    "interrupted": "warn",
    "finished": "ok",
    "stopped": None,
    "failed": "bad",
    "refused": "bad",
}


class QueueRow(QFrame):
    """Made anew when its kind changes; `tell` only changes words."""

    opened = Signal(str)
    """The run is to be shown: its folder."""
    moved = Signal(int, str)
    """Another place is wanted: number, "up" or "down"."""
    removed = Signal(int)

    def __init__(self, entry: Entry, place: int, *, first: bool, last: bool) -> None:
        super().__init__()
        self.entry = entry
        self.setProperty("kind", "finding")
        self.state, self.text = Chip(), PlainLabel("", "small")
        self.open = LinkButton("Show the run")
        self.up = IconButton("chevron-up", f"Move {entry.name} up")
        self.down = IconButton("chevron-down", f"Move {entry.name} down")
        self.remove = IconButton("x", f"Take {entry.name} out of the queue")
        self._lay_out(place)
        self._offer(first=first, last=last)
        self.tell(entry, None)

    def tell(self, entry: Entry, outcome: Outcome | None) -> None:
        """How it stands now."""
        self.entry = entry
        state, text = _standing(entry, outcome)
        self.state.show_as(state, _LEVELS.get(state))
        self.text.setText(text)
        self.text.setVisible(bool(text))
        self.open.setVisible(bool(entry.run) and state != "starting")
        self.setAccessibleName(f"{entry.name}, {state}. {text}".strip())

    def _lay_out(self, place: int) -> None:
        number = PlainLabel(f"{place}." if place else "", "muted")
        number.setFixedWidth(26)
        column = QVBoxLayout()
        column.setSpacing(3)
        column.addWidget(PlainLabel(self.entry.name, "strong"))
        column.addWidget(PlainLabel(_about(self.entry), "muted"))
        column.addWidget(self.text)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 10, 0, 10)
        line.setSpacing(8)
        line.addWidget(number, 0, Qt.AlignmentFlag.AlignTop)
        line.addLayout(column, 1)
        for widget in (self.state, self.open, self.up, self.down, self.remove):
            line.addWidget(widget, 0, Qt.AlignmentFlag.AlignVCenter)

    def _offer(self, *, first: bool, last: bool) -> None:
        """Only what waits has a place that can change; what is in hand cannot be taken out."""
        waits = self.entry.state == "waiting"
        for button, useful in ((self.up, not first), (self.down, not last)):
            button.setVisible(waits)
            button.setEnabled(useful)
        self.remove.setVisible(self.entry.state not in IN_HAND)
        number = self.entry.id
        self.up.clicked.connect(lambda: self.moved.emit(number, "up"))
        self.down.clicked.connect(lambda: self.moved.emit(number, "down"))
        self.remove.clicked.connect(lambda: self.removed.emit(number))
        self.open.clicked.connect(lambda: self.opened.emit(self.entry.run))
        self.open.setAccessibleName(f"Show the run of {self.entry.name}")


def _standing(entry: Entry, outcome: Outcome | None) -> tuple[str, str]:
    """A word and a sentence; of a run in hand also what is odd about it."""
    if entry.state not in IN_HAND:
        return entry.state, entry.told
    if outcome is None or outcome.state == "waiting":
        return "starting", entry.told
    ending = outcome.state in ("finished", "stopped", "failed")  # its process is still there
    return "running" if ending else outcome.state, f"{outcome} {entry.told}".strip()


def _about(entry: Entry) -> str:
    """Method and model, as far as the recipe can still be read."""
    try:
        recipe = entry.parsed()
    except RecipeError:
        return "Its recipe cannot be read by this version."
    return f"{recipe.objective.title} · {recipe.adaptation.title} · {recipe.model or 'no model'}"
