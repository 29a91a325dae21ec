"""The run as it goes: how far, how well, what the model answers now, and the buttons to steer."""

from __future__ import annotations

import math
from typing import ClassVar

from PySide6.QtCore import Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QProgressBar, QWidget

from core.errors import CoreError
from core.events import Phase
from core.history import PHASES, History, Outcome
from core.rundir import Command, RunDir
from gui.charts import RunCharts
from gui.pages.base import Page
from gui.run_parts import Answers, Figures, LogTail, Warnings
from gui.runner import Runner
from gui.session import Session
from gui.text import plain
from gui.widgets import Card, Heading, LinkButton, Notice, PlainLabel, QuietButton

WISHES: dict[Command, str] = {
    "stop": "Stopping: the step in hand is finished and saved first.",
    "pause": "Pausing after the step in hand.",
    "continue": "Going on.",
    "checkpoint": "A checkpoint is saved after the step in hand.",
    "sample": "The sample questions are asked after the step in hand.",
}


class RunPage(Page):
    """Shows whichever run the runner holds; live, over, or broken off."""

    title: ClassVar[str] = "Run"
    question: ClassVar[str] = "How is the training going?"
    help: ClassVar[str] = "Closing the window does not end a run; it is shown again next time."
    icon: ClassVar[str] = "activity"

    finished = Signal(object)
    """A run that was watched here has ended as asked (Outcome)."""

    def __init__(self, session: Session, runner: Runner, parent: QWidget | None = None) -> None:
        self.runner = runner
        self._watched = self._stale = False
        self._asked: tuple[Command, tuple[object, ...]] | None = None
        super().__init__(session, parent)
        runner.opened.connect(self._opened)
        runner.changed.connect(self._changed)
        runner.ended.connect(self._ended)
        if runner.run is not None:
            self._opened(runner.run)
        self._draw()

    def build(self) -> None:
        """Create the widgets, once."""
        self.empty = Notice("note", "No run yet. Start one on Review, or pick one from the list.")
        self.trouble = Notice("bad")
        self.trouble.pressed.connect(self.runner.resume)
        self.detail = QPlainTextEdit()
        self.detail.setReadOnly(True)
        self.detail.setFixedHeight(110)
        self.detail.setProperty("role", "mono")
        self.detail.setAccessibleName("What the engine reported")
        self.more = LinkButton("Show what the engine reported")
        self.more.clicked.connect(lambda: self.detail.setVisible(self.detail.isHidden()))
        self.figures, self.charts = Figures(), RunCharts()
        self.answers, self.warnings, self.log = Answers(), Warnings(), LogTail()
        self.detail.hide()
        parts = (self.figures, self.warnings, self.charts, self.answers, self.log)
        for widget in (self.empty, self._head(), self.trouble, self.more, self.detail, *parts):
            self.body.addWidget(widget)
        self.body.addStretch(1)

    def _head(self) -> Card:
        self.head = Card()
        self.outcome, self.name = Heading(), PlainLabel("", "muted")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.phase = PlainLabel("", "small")
        self.head.add(self.outcome, self.name, self.bar, self.phase)
        self.head.body.addLayout(self._buttons())
        return self.head

    def _buttons(self) -> QHBoxLayout:
        self.stop = QuietButton("Stop and save", "square")
        self.pause = QuietButton("Pause", "pause")
        self.checkpoint = QuietButton("Checkpoint now", "save")
        self.sample = QuietButton("Sample now", "messages-square")
        self.stop.clicked.connect(lambda: self._ask("stop"))
        self.pause.clicked.connect(self._pause_or_go_on)
        self.checkpoint.clicked.connect(lambda: self._ask("checkpoint"))
        self.sample.clicked.connect(lambda: self._ask("sample"))
        line = QHBoxLayout()
        line.setSpacing(8)
        for button in (self.pause, self.checkpoint, self.sample, self.stop):
            line.addWidget(button)
        line.addStretch(1)
        return line

    def showEvent(self, event: QShowEvent) -> None:
        """What happened while another page was shown is drawn now."""
        super().showEvent(event)
        if self._stale:
            self._draw()

    def _opened(self, run: RunDir) -> None:
        self._watched, self._asked = False, None
        self.log.run = run
        self.name.setText(_describe(run))
        self.charts.forget()
        self._draw()

    def _changed(self, _history: History) -> None:
        if self.isVisible():
            self._draw()
        else:
            self._stale = True
            self._watched = self._watched or self.runner.alive()

    def _ended(self, outcome: Outcome) -> None:
        """Only what was watched leads on: looking up an old run must not jump about."""
        self._draw()
        if outcome.state == "finished" and self._watched:
            self.finished.emit(outcome)
            if self.isVisible():
                self.go.emit("Result")

    def _draw(self) -> None:
        self._stale = False
        history, live = self.runner.history, self.runner.alive()
        self._watched = self._watched or live
        outcome = history.outcome(alive=live)
        self._draw_frame(outcome)
        self._draw_progress(history, outcome, live)
        self._draw_buttons(history, live)
        self._draw_trouble(history, outcome, live)
        self.figures.show_history(history, live=live)
        self.warnings.show_warnings(history.warnings)
        self.charts.show_history(history)
        self.answers.show_samples(history.samples)
        self.log.refresh()

    def _draw_frame(self, outcome: Outcome) -> None:
        some = self.runner.run is not None
        self.empty.setVisible(not some)
        for part in (self.head, self.log):
            part.setVisible(some)
        self.figures.setVisible(some and bool(self.runner.history.steps))
        self.charts.setVisible(some and bool(self.runner.history.steps))
        self.outcome.setText(str(outcome))

    def _draw_progress(self, history: History, outcome: Outcome, live: bool) -> None:
        phase = history.phase if live else None
        self.bar.setVisible(live or outcome.state != "finished")
        self.phase.setVisible(live)
        done, total = _progress(history, phase)
        if live and not total:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, max(1, total))
            self.bar.setValue(done)
        self.phase.setText(self._wish() or _sentence(phase))

    def _draw_buttons(self, history: History, live: bool) -> None:
        stepping = live and history.phase is not None and history.phase.name == "training"
        paused = history.state == "paused"
        self.pause.setText("Continue" if paused else "Pause")
        for button in (self.stop, self.pause, self.checkpoint, self.sample):
            button.setVisible(live)
        for button in (self.pause, self.checkpoint, self.sample):
            button.setEnabled(stepping)
            button.setToolTip("" if stepping else "Possible while steps are being taken.")

    def _draw_trouble(self, history: History, outcome: Outcome, live: bool) -> None:
        """What went wrong and the way on, once the old engine has let go of the run."""
        saved = outcome.saved
        again = f"Resume from step {saved:,}" if saved else "Start again"
        detail = history.failure.detail if history.failure else ""
        shown = True
        match outcome.state:
            case _ if live:
                shown = False
            case "failed" if history.failure:
                text = history.failure.hint or history.failure.error
                text += " It is taken up again by itself in a moment." * self.runner.returning
                self.trouble.show_as("bad", text, again)
            case "interrupted":
                text = "The training process ended without a word: the computer may have been "
                text += "switched off, or the process was killed."
                self.trouble.show_as("warn", text, again)
            case "stopped":
                self.trouble.show_as("note", "Nothing is lost; it can go on any time.", again)
            case _:
                shown = False
        self.trouble.setVisible(shown)
        self.more.setVisible(shown and bool(detail))
        self.detail.setPlainText(plain(detail))
        if not detail:
            self.detail.hide()

    def _pause_or_go_on(self) -> None:
        self._ask("continue" if self.runner.history.state == "paused" else "pause")

    def _ask(self, command: Command) -> None:
        self._asked = command, self._landmarks()
        self.runner.ask(command)
        self._draw()

    def _wish(self) -> str:
        """What was asked for, until something shows that it was obeyed."""
        if self._asked and self._asked[1] != self._landmarks():
            self._asked = None
        return WISHES[self._asked[0]] if self._asked else ""

    def _landmarks(self) -> tuple[object, ...]:
        history = self.runner.history
        return history.state, len(history.checkpoints), len(history.samples)


def _progress(history: History, phase: Phase | None) -> tuple[int, int]:
    """How far the phase is, or the training when it runs or is over."""
    if phase is None or phase.name == "training":
        return history.step, history.total
    return phase.done or 0, phase.total or 0


def _sentence(phase: Phase | None) -> str:
    if phase is None:
        return "Starting the training process"
    if phase.total and phase.done is not None:
        share = math.floor(100 * phase.done / phase.total)
        return f"{PHASES[phase.name]}: {phase.done:,} of {phase.total:,} ({share} %)"
    return PHASES[phase.name]


def _describe(run: RunDir) -> str:
    """Name, model and method, as far as the recipe can still be read."""
    try:
        recipe = run.load_recipe()
    except CoreError:
        return run.root.name
    return f"{recipe.name} · {recipe.adaptation.title} · {recipe.model}"
