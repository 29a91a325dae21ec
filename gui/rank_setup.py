"""What a ranking begins with: prompts, models that answer them, and how freely they speak."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from core import launch, models
from core.answering import Prompt, Request, Speaker, drawn, prompts_in, results, typed
from core.dataset import Heed
from core.errors import CoreError, RunError
from core.numbers import percent
from core.places import rankings_home, runs_home
from core.ranking import Kept, Ranking, free_file, sessions
from gui.background import Task
from gui.errand import Errand
from gui.fields import Choice, Lines
from gui.model_list import ModelList
from gui.parts import Disclosure
from gui.rate_edit import WholeEdit
from gui.runner import Runner
from gui.sampling_form import SamplingForm
from gui.session import Session
from gui.widgets import Card, Notice, PlainLabel, PrimaryButton, QuietButton, row

USUAL, MOST_PROMPTS = 20, 1000
EARLIER = 20
"""Earlier rankings that are offered."""
PARTS = 1000
"""Steps of the progress bar, however many answers are made."""
HELDOUT, DATA, TYPED = "heldout", "data", "typed"
_SOURCES = (
    (HELDOUT, "Held-out questions"),
    (DATA, "All questions of the dataset"),
    (TYPED, "Prompts typed here"),
)


class RankSetup(Card):
    """Asks, then makes the answers in the background."""

    ready = Signal(object)
    """A ranking can be judged (Ranking)."""

    def __init__(self, session: Session, runner: Runner) -> None:
        super().__init__("What is compared")
        self.session, self.runner = session, runner
        self.errand = Errand(self)
        self.errand.moved.connect(self._draw_progress)
        self._build()
        self.source.currentIndexChanged.connect(lambda _: self.refresh())
        self.begin.clicked.connect(self.make)
        self.stop.clicked.connect(self.errand.stop)
        self.open.clicked.connect(self._open)
        self.refresh()

    def _build(self) -> None:
        self.source, self.prompts = Choice(), Lines()
        for key, words in _SOURCES:
            self.source.addItem(words, key)
        if not self.session.recipe.data.path:
            self.source.setCurrentIndex(self.source.findData(TYPED))
        self.prompts.setPlaceholderText("One a line")
        self.count = WholeEdit(1, MOST_PROMPTS)
        self.count.set_value(USUAL)
        self.models = ModelList()
        self.form = SamplingForm(self.session.recipe.checks.answer_length)
        self.asked = self._line("Prompts", self.source)
        self.typed = self._line("", self.prompts)
        self.add(
            self.asked,
            self.typed,
            self._line("How many at most", self.count),
            self._line("Models", self.models),
            PlainLabel(
                "Every two answers to a prompt are compared. A model that is alone answers twice.",
                "small",
            ),
            Disclosure("How answers are drawn", self.form),
        )
        self._build_foot()

    def _build_foot(self) -> None:
        self.begin, self.stop = PrimaryButton("Make answers", "play"), QuietButton("Cancel", "x")
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Answers made")
        self.trouble = Notice("bad")
        self.trouble.hide()
        self.status = PlainLabel("", "small")
        self.body.addLayout(row(self.begin, self.stop))
        self.add(self.status, self.bar, self.trouble)
        self.earlier, self.open = Choice(), QuietButton("Open", "folder-open")
        self.past = self._line("Earlier rankings", self.earlier, self.open)
        self.past.hide()
        self.add(self.past)

    def _line(self, words: str, *widgets: QWidget) -> QWidget:
        holder = QWidget()
        line = QHBoxLayout(holder)
        line.setContentsMargins(0, 0, 0, 0)
        label = PlainLabel(words, "strong")
        label.setFixedWidth(150)
        label.setContentsMargins(0, 7, 0, 0)
        label.setBuddy(widgets[0])
        widgets[0].setAccessibleName(widgets[0].accessibleName() or words or "Prompts, one a line")
        line.addWidget(label, 0, Qt.AlignmentFlag.AlignTop)
        for widget in widgets:
            line.addWidget(widget, 1 if isinstance(widget, ModelList | Lines) else 0)
        if not isinstance(widgets[0], ModelList | Lines):
            line.addStretch(1)
        return holder

    def showEvent(self, event: QShowEvent) -> None:
        """Runs may have finished, and rankings may have been made, since the last look."""
        super().showEvent(event)
        self.refresh()
        task = Task(self, lambda: sessions(rankings_home(), EARLIER))
        task.then(self._offer_earlier).failed(self._failed).start()

    def refresh(self) -> None:
        """Draw what can be chosen now, and how far the answers are."""
        self.models.offer(self.session.recipe.model, results(runs_home()), self.runner.run)
        self.typed.setVisible(self.source.currentData() == TYPED)
        self._draw_progress()

    def _draw_progress(self) -> None:
        busy, done = self.errand.busy, self.errand.rows
        self.begin.setVisible(not busy)
        for part in (self.stop, self.bar, self.status):
            part.setVisible(busy)
        self.bar.setRange(0, PARTS if done else 0)
        self.bar.setValue(done)
        self.status.setText(
            f"Answers made: {percent(done / PARTS)}"
            if done
            else "Loading the models. This takes 10 seconds, and longer for large ones."
        )

    def _offer_earlier(self, kept: list[Kept]) -> None:
        self.earlier.clear()
        for each in kept:
            self.earlier.addItem(_described(each), str(each.file))
        self.past.setVisible(bool(kept))

    def _open(self) -> None:
        try:
            self.ready.emit(Ranking.open(Path(self.earlier.currentData())))
        except CoreError as error:
            self._failed(error)

    def make(self) -> None:
        """Let the models answer."""
        self.trouble.hide()
        try:
            self._refuse_second()
            speakers = self.models.speakers(self.form.chosen())
        except CoreError as error:
            self._failed(error)
            return
        find, count = self._prompts(), self.count.value()
        seed = self.form.chosen().seed
        self.errand.begin(
            lambda heed: _make(lambda: drawn(find(), count, seed), speakers, seed, heed),
            self.ready.emit,
            self._failed,
        )
        self.stop.setFocus()

    def _refuse_second(self) -> None:
        if self.runner.alive():
            raise RunError(
                "A run is training, and the answers would share this computer's memory with it.",
                hint="Stop it first, or wait.",
            )

    def _prompts(self) -> Callable[[], tuple[Prompt, ...]]:
        """How the prompts are found, later and elsewhere."""
        recipe, source = self.session.recipe, self.source.currentData()
        if source == TYPED:
            text = self.prompts.toPlainText()
            return lambda: _some(typed(text))
        return lambda: prompts_in(recipe.data, recipe.training.seed, heldout=source == HELDOUT)

    def _failed(self, error: CoreError) -> None:
        self.trouble.show_as("bad", f"{error} {error.hint}".strip())
        self.trouble.show()


def _some(prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
    if not prompts:
        raise CoreError("No prompt was typed.", hint="Write one a line.")
    return prompts


def _make(
    find: Callable[[], tuple[Prompt, ...]],
    speakers: tuple[Speaker, ...],
    seed: int,
    heed: Heed,
) -> Ranking:
    """Find the prompts, have them answered, and begin a session."""
    for speaker in speakers:
        if speaker.model:
            models.look(models.resolve(speaker.model))
    request, done = Request(speakers=speakers, prompts=find()), 0

    def advance(now: int, total: int) -> None:
        nonlocal done
        done = round(PARTS * now / total)

    made = launch.answer(request, meanwhile=lambda: heed(done), advance=advance)
    file = free_file(rankings_home(), time.strftime("%Y-%m-%d_%H-%M-%S"), ".jsonl")
    return Ranking.create(file, request, made, seed)


def _described(kept: Kept) -> str:
    day = f"{datetime.fromtimestamp(kept.made):%d %b, %H:%M}"
    if not kept.pairs:
        return f"{day}: cannot be read"
    return f"{day}: {kept.judged:,} of {kept.pairs:,} judged"
