"""What a ranking begins with: prompts, models that answer them, and how freely they speak."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QWidget,
)

from core import launch, models
from core.answering import (
    Prompt,
    Request,
    Sampling,
    Speaker,
    as_it_is,
    drawn,
    draws,
    prompts_in,
    result_of,
    results,
    typed,
)
from core.checkup import Heed
from core.errors import CoreError, RunError
from core.numbers import percent
from core.places import rankings_home, runs_home
from core.ranking import Kept, Ranking, free_file, sessions
from core.rundir import RunDir
from gui.background import Task
from gui.errand import Errand
from gui.fields import Choice, Field, Lines, WholeField, make_field
from gui.parts import Disclosure
from gui.rate_edit import WholeEdit
from gui.runner import Runner
from gui.session import Session
from gui.text import plain
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


class SamplingForm(QWidget):
    """How answers are drawn; grown from the fields of Sampling."""

    def __init__(self, longest: int) -> None:
        super().__init__()
        self._sampling = Sampling(longest=longest)
        self._faults: dict[str, str] = {}
        self.fields: dict[str, Field] = {}
        self.fault = Notice("bad")
        self.fault.hide()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(14)
        self._grid.setColumnStretch(2, 1)
        for line, name in enumerate(Sampling.model_fields):
            self._add(line, name)
        self._grid.addWidget(self.fault, len(self.fields), 0, 1, 3)

    def _add(self, line: int, name: str) -> None:
        info = Sampling.model_fields[name]
        field = make_field(info)
        assert field is not None
        field.show(getattr(self._sampling, name))
        field.wanted.connect(partial(self._take, name))
        kept = isinstance(field, WholeField)
        field.faulted.connect(self._draw_fault if kept else partial(self._tell, name))
        field.widget.setFixedWidth(120)
        self.fields[name] = field
        label = PlainLabel(info.title or name, "strong")
        label.setBuddy(field.widget)
        for column, widget in enumerate(
            (label, field.widget, PlainLabel(info.description or "", "small"))
        ):
            self._grid.addWidget(widget, line, column)

    def chosen(self) -> Sampling:
        """What was chosen. Raises CoreError while a number cannot be used."""
        if self._faults:
            raise CoreError(next(iter(self._faults.values())))
        return self._sampling

    def _take(self, name: str, value: Any) -> None:
        raw = self._sampling.model_dump() | {name: value}
        try:
            self._sampling = Sampling.model_validate(raw)
        except ValidationError as error:
            wrong = error.errors()[0]["msg"]
            self._tell(name, f"{Sampling.model_fields[name].title}: {wrong}.")
        else:
            self.fields[name].show(value)
            self._tell(name, "")

    def _tell(self, name: str, reason: str) -> None:
        self._faults.pop(name, None)
        if reason:
            self._faults[name] = reason
        self.fields[name].mark(reason)
        self._draw_fault("")

    def _draw_fault(self, remark: str) -> None:
        """What keeps answers from being made, or why a whole number is still the one before."""
        said = next(iter(self._faults.values()), remark)
        self.fault.show_as("bad" if self._faults else "warn", said)
        self.fault.setVisible(bool(said))


class ModelList(QListWidget):
    """The recipe's model and every run's result; what is ticked will answer."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Models that answer")
        self.setFixedHeight(132)
        self._shown: tuple[str, ...] | None = None

    def offer(self, model: str, runs: list[RunDir], preferred: RunDir | None) -> None:
        """List them; what was ticked stays ticked, and a run that is new here is."""
        offered = (model, *(str(run.root) for run in runs))
        if offered == self._shown:
            return
        before, known = set(self.ticked()), self._shown or ()
        self._shown = offered
        self.clear()
        self._add(f"{model}, as it is" if model else "No model is chosen", model, ticked=True)
        for run in runs:
            root = str(run.root)
            new = preferred is not None and run.root == preferred.root and root not in known
            self._add(run.root.name, root, ticked=root in before or new)

    def _add(self, words: str, key: str, *, ticked: bool) -> None:
        item = QListWidgetItem(plain(words), self)
        item.setData(Qt.ItemDataRole.UserRole, key)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)

    def ticked(self) -> list[str]:
        """Keys of what is ticked, as offered."""
        items = (self.item(place) for place in range(self.count()))
        return [
            item.data(Qt.ItemDataRole.UserRole)
            for item in items
            if item.checkState() == Qt.CheckState.Checked
        ]

    def speakers(self, sampling: Sampling) -> tuple[Speaker, ...]:
        """Who is to answer. Raises CoreError."""
        ticked, model = self.ticked(), self._shown[0] if self._shown else ""
        if not [key for key in ticked if key]:
            raise CoreError("No model is ticked.", hint="Tick one or more models.")
        return draws(
            [
                as_it_is(key, sampling) if key == model else result_of(RunDir(Path(key)), sampling)
                for key in ticked
            ]
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
