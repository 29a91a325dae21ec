"""The queue: what waits, in which order, what is training, and what happens at the end."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QHBoxLayout, QWidget

from core.keeper import Standing
from core.queue import AtEnd, Entry
from gui import theme
from gui.fields import Choice
from gui.pages.base import Page
from gui.parts import Pile
from gui.queue_desk import QueueDesk
from gui.queue_row import QueueRow
from gui.runner import Runner
from gui.session import Session
from gui.widgets import Card, LinkButton, Notice, PlainLabel, QuietButton

_AT_END: dict[AtEnd, str] = {
    "next": "Start the next one",
    "nothing": "Nothing: pause the queue",
    "sleep": "Next one; after the last, sleep",
    "shutdown": "Next one; after the last, shut down",
}
_LATER = (
    "Put together another recipe, and choose “Add to queue” beside Start on Review. Recipes "
    "wait here as they are when you add them, and train one after another."
)


class QueuePage(Page):
    """Shows what the desk knows; every button is a change of the queue."""

    title: ClassVar[str] = "Queue"
    question: ClassVar[str] = "What trains next?"
    help: ClassVar[str] = (
        "One after another, when the machine is free. An open window works on the queue unless it "
        "is paused."
    )
    icon: ClassVar[str] = "layers"

    def __init__(
        self, session: Session, runner: Runner, desk: QueueDesk, parent: QWidget | None = None
    ) -> None:
        self.runner, self.desk = runner, desk
        self.rows: dict[int, QueueRow] = {}
        super().__init__(session, parent)
        desk.changed.connect(self.refresh)
        self.refresh(desk.standing)

    def build(self) -> None:
        """The controls, what is in line, and what is over."""
        self.trouble = Notice("bad")
        self.state = Notice("note")
        self.state.pressed.connect(self._show_run)
        self.empty = Notice("note", _LATER, "Go to Review")
        self.empty.pressed.connect(lambda: self.go.emit("Review"))
        self.line, self.over = Card("In line"), Card("Over")
        self.line_rows, self.over_rows = Pile(spacing=0), Pile(spacing=0)
        self.clear = LinkButton("Clear the list")
        self.clear.clicked.connect(self.desk.clear)
        self.line.add(self.line_rows)
        self.over.header.addWidget(self.clear)
        self.over.add(self.over_rows)
        for widget in (
            self._controls(),
            self.trouble,
            self.state,
            self.empty,
            self.line,
            self.over,
        ):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self.trouble.hide()

    def _controls(self) -> Card:
        self.at_end = Choice()
        self.at_end.setAccessibleName("At the end of a run")
        for action, words in _AT_END.items():
            self.at_end.addItem(words, action)
        self.at_end.activated.connect(lambda _: self.desk.choose_end(self.at_end.currentData()))
        self.pause = QuietButton("Pause queue", "pause")
        self.pause.clicked.connect(lambda: self.desk.pause(not self.desk.queue.paused))
        line = QHBoxLayout()
        line.setSpacing(10)
        label = PlainLabel("At the end of a run", "muted")
        label.setWordWrap(False)
        for widget in (label, self.at_end, self.pause):
            line.addWidget(widget)
        line.insertStretch(2, 1)
        card = Card()
        card.body.addLayout(line)
        return card

    @Slot(object)
    def refresh(self, found: Standing) -> None:
        """Draw the queue as it is now."""
        queue = found.queue
        self._draw_state(found)
        self.pause.setText("Resume queue" if queue.paused else "Pause queue")
        theme.set_icon(self.pause, "play" if queue.paused else "pause", "text", 16)
        self.at_end.setCurrentIndex(self.at_end.findData(queue.at_end))
        ahead = ([queue.in_hand] if queue.in_hand else []) + list(queue.waiting)
        over = [entry for entry in reversed(queue.entries) if entry.over]
        focus = self._focused()
        self.line_rows.fill(_kinds(ahead), lambda: self._make(ahead))
        self.over_rows.fill(_kinds(over), lambda: self._make(over, placed=False))
        self.line.setVisible(bool(ahead))
        self.over.setVisible(bool(over))
        self.empty.setVisible(not ahead and self.desk.trouble is None)
        self.rows = {entry.id: self.rows[entry.id] for entry in (*ahead, *over)}
        for entry in (*ahead, *over):
            self.rows[entry.id].tell(entry, found.outcome if entry == queue.in_hand else None)
        self._focus_again(focus)

    def _draw_state(self, found: Standing) -> None:
        trouble = self.desk.trouble
        self.trouble.setVisible(trouble is not None)
        if trouble is not None:
            self.trouble.show_as("bad", f"{trouble} {trouble.hint}".strip())
        level, text = "note", ""
        match found.kind:
            case "help":
                level, text = (
                    "warn",
                    f"{found.text} The queue waits until it goes on or is stopped.",
                )
            case "elsewhere":
                text = found.text
            case "occupied" if not found.queue.paused:
                text = f"Waiting until the machine is free. {found.text}"
            case _ if found.queue.paused and found.queue.waiting:
                text = "The queue is paused: nothing is begun. What is training goes on."
        self.state.setVisible(bool(text))
        fix = "Show the run" if found.kind == "help" else ""
        self.state.show_as(level, text, fix)  # type: ignore[arg-type]

    def _make(self, entries: list[Entry], *, placed: bool = True) -> list[QueueRow]:
        waiting = [entry.id for entry in entries if entry.state == "waiting"]
        made = []
        for place, entry in enumerate(entries, 1):
            row = QueueRow(
                entry, place if placed else 0,
                first=entry.id in waiting[:1], last=entry.id in waiting[-1:],
            )  # fmt: skip
            row.opened.connect(lambda root: self.runner.open(Path(root)))
            row.moved.connect(self.desk.move)
            row.removed.connect(self.desk.remove)
            self.rows[entry.id] = row
            made.append(row)
        return made

    def _focused(self) -> tuple[int, str] | None:
        """Which button of which entry the keyboard is at."""
        for number, row in self.rows.items():
            for name in ("up", "down", "remove", "open"):
                if getattr(row, name).hasFocus():
                    return number, name
        return None

    def _focus_again(self, focus: tuple[int, str] | None) -> None:
        """A moved entry keeps the focus, so that one key moves it on and on."""
        row = self.rows.get(focus[0]) if focus else None
        if focus is None or row is None:
            return
        button, other = getattr(row, focus[1]), row.down if focus[1] == "up" else row.up
        (button if button.isEnabled() else other).setFocus()

    def _show_run(self) -> None:
        if run := self.desk.standing.run:
            self.runner.open(run.root)


def _kinds(entries: list[Entry]) -> list[tuple[int, str, bool]]:
    """What decides which rows there are and which buttons they have."""
    return [(entry.id, entry.state, bool(entry.run)) for entry in entries]
