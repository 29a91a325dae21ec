"""One prompt and two answers side by side; who said what is not told here."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent, QTextOption
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QSizePolicy,
    QTextEdit,
    QWidget,
)

from core.answering import Answer
from core.ranking import Pair, Ranking, Verdict
from gui.text import plain
from gui.widgets import Card, Chip, LinkButton, PlainLabel, QuietButton, row

SHOWN = 50_000
"""Letters of a text that are shown; longer than any answer that is read to its end."""
LOW, PROMPT_HEIGHT, ANSWER_HEIGHT = 40, 120, 120
_KEYS: dict[int, Verdict] = {
    Qt.Key.Key_1: "first",
    Qt.Key.Key_2: "second",
    Qt.Key.Key_0: "tie",
    Qt.Key.Key_T: "tie",
    Qt.Key.Key_S: "skip",
}
_UNDO = (Qt.Key.Key_Backspace, Qt.Key.Key_U)
_PLAIN_KEYS = (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)


class TextView(QTextEdit):
    """Any text as it is: never markup, each paragraph from its own side."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setAccessibleName(name)
        self.setTabChangesFocus(True)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)

    def sizeHint(self) -> QSize:
        """Content with little; a page gives what room it has."""
        return QSize(super().sizeHint().width(), self.minimumHeight())

    def show_text(self, text: str) -> None:
        """Replace the text, its beginning in sight."""
        self.setPlainText(plain(text, SHOWN))


class PromptView(TextView):
    """As high as its text, up to a limit, so that the answers get the room."""

    def show_text(self, text: str) -> None:
        """Replace the text and take its height."""
        super().show_text(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width means another height."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    def _fit(self) -> None:
        frame = self.height() - self.viewport().height()
        wanted = round(self.document().size().height()) + frame
        self.setFixedHeight(min(max(wanted, LOW), PROMPT_HEIGHT))


class AnswerCard(Card):
    """One of the two answers, with the button that prefers it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"Answer {number}")
        self.cut = Chip("cut off", "warn")
        self.header.addWidget(self.cut)
        self.view = TextView(f"Answer {number}")
        self.view.setMinimumHeight(ANSWER_HEIGHT)
        self.better = QuietButton(f"Answer {number} is better")
        self.body.addWidget(self.view, 1)
        self.add(self.better)

    def show_answer(self, answer: Answer) -> None:
        """Show what was said, and whether it was said to its end."""
        self.view.show_text(answer.text)
        self.cut.setVisible(not answer.ended)


class Duel(QWidget):
    """Shows the current pair of a ranking; keys and buttons say what is thought of it."""

    judged = Signal(str)
    """The verdict on the pair that is shown."""
    taken_back = Signal()
    """The last judgement is to be undone."""
    left = Signal()
    """The result is wanted before the last pair."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.place = PlainLabel("", "figure")
        self.place.setWordWrap(False)
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Pairs judged")
        self.leave = LinkButton("See the result so far")
        self.leave.clicked.connect(self.left)
        self.prompt = PromptView("Prompt")
        self.sides = AnswerCard(1), AnswerCard(2)
        self.sides[0].better.clicked.connect(lambda: self.judged.emit("first"))
        self.sides[1].better.clicked.connect(lambda: self.judged.emit("second"))
        self._lay_out()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(14)
        head.addWidget(self.place)
        head.addWidget(self.bar, 1)
        head.addWidget(self.leave)
        asked = Card("Prompt")
        asked.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        asked.add(self.prompt)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(12)
        grid.addLayout(head, 0, 0, 1, 2)
        grid.addWidget(asked, 1, 0, 1, 2)
        for column, side in enumerate(self.sides):
            grid.setColumnStretch(column, 1)
            grid.addWidget(side, 2, column)
        grid.addLayout(self._others(), 3, 0, 1, 2)
        grid.setRowStretch(2, 1)

    def _others(self) -> QHBoxLayout:
        self.tie, self.skip = QuietButton("Tie"), QuietButton("Skip")
        self.undo = QuietButton("Take back", "rotate-ccw")
        self.tie.clicked.connect(lambda: self.judged.emit("tie"))
        self.skip.clicked.connect(lambda: self.judged.emit("skip"))
        self.undo.clicked.connect(self.taken_back)
        keys = PlainLabel("Keys: 1, 2, T or 0 tie, S skip, U or Backspace take back", "small")
        keys.setWordWrap(False)
        return row(self.tie, self.skip, self.undo, keys)

    def show_pair(self, ranking: Ranking, place: int) -> None:
        """Show one pair, and how far the ranking is."""
        pair, whole = ranking.pairs[place], len(ranking.pairs)
        self.place.setText(f"{place + 1:,} of {whole:,}")
        self.bar.setRange(0, whole)
        self.bar.setValue(ranking.judged)
        self.undo.setEnabled(ranking.judged > 0)
        self.leave.setVisible(ranking.judged > 0)
        self.prompt.show_text(_asked(pair))
        for card, answer in zip(self.sides, pair.sides, strict=True):
            card.show_answer(answer)
        self.setAccessibleName(f"Pair {place + 1:,} of {whole:,}")
        first, second = (plain(answer.text) for answer in pair.sides)
        self.setAccessibleDescription(f"{_asked(pair)} Answer 1: {first} Answer 2: {second}")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A held key judges one pair only; keys with Ctrl or Alt belong to the window."""
        if event.isAutoRepeat() or event.modifiers() not in _PLAIN_KEYS:
            super().keyPressEvent(event)
        elif event.key() in _KEYS:
            self.judged.emit(_KEYS[event.key()])
        elif event.key() in _UNDO:
            self.taken_back.emit()
        else:
            super().keyPressEvent(event)


def _asked(pair: Pair) -> str:
    """The question alone where there is nothing else, else who said what before."""
    if len(pair.prompt) == 1:
        return str(pair.prompt[0]["content"])
    return "\n\n".join(f"{said['role'].title()}: {said['content']}" for said in pair.prompt)
