"""Parts of the Run page: figures, answers over time, warnings, the engine's log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from core.events import Sampled, Warned
from core.history import History
from core.launch import last_lines
from core.numbers import show_bytes, show_duration
from core.rundir import RunDir
from gui import theme
from gui.plots import figure
from gui.text import plain, tip
from gui.widgets import Card, LinkButton, Notice, PlainLabel

PER_ROW = 4
PROMPTS, ANSWERS = 4, 5
"""How many questions, and how many of the newest answers to each, are shown."""
LOG_LINES = 60
LOG_MS = 1_000
VERDICTS = {
    True: ("circle-check", "ok", "Correct"),
    False: ("circle-x", "bad", "Wrong"),
    None: ("circle", "muted", "Not judged"),
}
"""Icon, colour and word for an answer; never colour alone."""


class Figures(Card):
    """The counters of a run, each a small name over its value."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        grid = QGridLayout()
        grid.setHorizontalSpacing(20)
        grid.setVerticalSpacing(2)
        self.values: dict[str, PlainLabel] = {}
        for number, name in enumerate(figures(History(), live=False)):
            value = PlainLabel("–", "strong")
            value.setAccessibleName(name)
            self.values[name] = value
            line, column = divmod(number, PER_ROW)
            grid.addWidget(PlainLabel(name, "small"), 3 * line, column)
            grid.addWidget(value, 3 * line + 1, column)
            grid.setColumnStretch(column, 1)
        grid.setRowMinimumHeight(2, 8)
        self.body.addLayout(grid)

    def show_history(self, history: History, *, live: bool) -> None:
        """Draw the newest values."""
        for name, text in figures(history, live=live).items():
            self.values[name].setText(text)


def figures(history: History, *, live: bool) -> dict[str, str]:
    """What is counted and measured, in the order it is shown."""
    step = history.steps[-1] if history.steps else None
    best, evaluations = history.best, history.evaluations
    speed = step.tokens_per_second if step else None
    return {
        "Step": f"{history.step:,} of {history.total:,}" if step else "–",
        "Epoch": f"{step.epoch:.2f}" if step else "–",
        "Loss": figure(step.loss) if step else "–",
        "Held-out loss": figure(evaluations[-1].loss) if evaluations else "–",
        "Best held-out loss": f"{figure(best.loss)} at step {best.step:,}" if best else "–",
        "Speed": f"{figure(round(speed, 1))} tokens/s" if speed else "–",
        "Time left": _left(history) if live else "–",
        "Memory": _memory(history),
    }


def _left(history: History) -> str:
    seconds = history.seconds_left() if history.state == "running" else None
    if seconds is None or history.step >= history.total:
        return "–"
    end = time.strftime("%H:%M", time.localtime(time.time() + seconds))
    return f"{show_duration(seconds)}, until {end}"


def _memory(history: History) -> str:
    if not history.steps:
        return "–"
    memory = history.steps[-1].memory
    if memory.gpu_total and memory.gpu_used is not None:
        return f"{show_bytes(memory.gpu_used)} of {show_bytes(memory.gpu_total)}"
    return f"{show_bytes(memory.host_used)} of {show_bytes(memory.host_total)}"


class Answers(Card):
    """What the model answers to the same questions as training goes on."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Sample answers", parent)
        self._inside = QWidget()
        self._drawn = -1
        self.add(self._inside)

    def show_samples(self, samples: Sequence[Sampled]) -> None:
        """Draw again when there are more answers, or fewer after a resume."""
        self.setVisible(bool(samples))
        if len(samples) == self._drawn:
            return
        self._drawn = len(samples)
        fresh = QWidget()
        column = QVBoxLayout(fresh)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(14)
        for answers in list(_by_prompt(samples).values())[:PROMPTS]:
            column.addLayout(_answers(answers))
        self.body.replaceWidget(self._inside, fresh)
        self._inside.deleteLater()
        self._inside = fresh


def _by_prompt(samples: Iterable[Sampled]) -> dict[str, list[Sampled]]:
    found: dict[str, list[Sampled]] = {}
    for sample in samples:
        found.setdefault(sample.answer.prompt, []).append(sample)
    return found


def _answers(samples: list[Sampled]) -> QGridLayout:
    """One question with its newest answers, newest last."""
    first = samples[0].answer
    grid = QGridLayout()
    grid.setHorizontalSpacing(10)
    grid.setVerticalSpacing(4)
    grid.setColumnStretch(2, 1)
    grid.addWidget(PlainLabel(first.prompt, "strong"), 0, 0, 1, 3)
    if first.expected:
        grid.addWidget(PlainLabel(f"Expected: {first.expected}", "small"), 1, 0, 1, 3)
    for row, sample in enumerate(samples[-ANSWERS:], start=2):
        step = PlainLabel(f"Step {sample.step:,}", "small")
        step.setWordWrap(False)
        grid.addWidget(step, row, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(_verdict(sample.answer.correct), row, 1, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(PlainLabel(sample.answer.answer or "(no answer)"), row, 2)
    return grid


def _verdict(correct: bool | None) -> QLabel:
    picture, colour, word = VERDICTS[correct]
    label = QLabel()
    theme.set_picture(label, picture, colour, 16)
    label.setToolTip(tip(word))
    label.setAccessibleName(word)
    return label


class Warnings(QWidget):
    """What the engine thinks the user should know; each sentence once."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(8)
        self._drawn: tuple[str, ...] = ()

    def show_warnings(self, warnings: Sequence[Warned]) -> None:
        """Draw them anew when there is another one."""
        said = tuple(dict.fromkeys(f"{w.text} {w.hint}".strip() for w in warnings))
        self.setVisible(bool(said))
        if said == self._drawn:
            return
        self._drawn = said
        while (old := self._column.takeAt(0)) is not None:
            if (widget := old.widget()) is not None:
                widget.deleteLater()
        for sentence in said:
            self._column.addWidget(Notice("warn", sentence))


class LogTail(Card):
    """The end of what the libraries printed, folded away until somebody wants it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Engine log", parent)
        self.run: RunDir | None = None
        self.fold = LinkButton("Show")
        self.fold.clicked.connect(self._toggle)
        self.header.addWidget(self.fold)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setProperty("role", "mono")
        self.text.setFixedHeight(220)
        self.text.setAccessibleName("End of the engine's log")
        self.text.hide()
        self.add(self.text)
        self._timer = QTimer(self, interval=LOG_MS)
        self._timer.timeout.connect(self.refresh)

    def refresh(self) -> None:
        """Read the end of the file again; a reader who scrolled up is left alone."""
        if self.run is None or self.text.isHidden():
            return
        tail = plain(last_lines(self.run, LOG_LINES), 20_000) or "Nothing was printed yet."
        if tail != self.text.toPlainText():
            bar = self.text.verticalScrollBar()
            at_end = bar.value() == bar.maximum()
            self.text.setPlainText(tail)
            if at_end:
                bar.setValue(bar.maximum())

    def showEvent(self, event: QShowEvent) -> None:
        """Read only while somebody looks."""
        super().showEvent(event)
        self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        """Rest."""
        super().hideEvent(event)
        self._timer.stop()

    def _toggle(self) -> None:
        self.text.setVisible(self.text.isHidden())
        self.fold.setText("Show" if self.text.isHidden() else "Hide")
        self.refresh()
