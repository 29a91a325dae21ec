"""What changed: scores and answers before and after, side by side, and where the result lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSize, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from core.events import Answer
from gui import messages, theme
from gui.outcome import FILTERS, Pair, pairs, verdict
from gui.pages.base import Page
from gui.run_parts import VERDICTS
from gui.runner import Runner
from gui.score_card import ScoreCard
from gui.session import Session
from gui.text import plain, tip
from gui.widgets import Card, Notice, PlainLabel, QuietButton, row

CELL = 240
"""Letters of an answer shown in the table; the tool tip holds more."""
PADDING = 20
Index = QModelIndex | QPersistentModelIndex


class Answers(QAbstractTableModel):
    """The table: question, expected, before, after. An item view never takes text for markup."""

    HEADS = ("Question", "Expected", "Before", "After")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[Pair] = []

    def show_rows(self, rows: list[Pair]) -> None:
        """Replace everything."""
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: Index | None = None) -> int:
        """One row per question."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index | None = None) -> int:
        """Always four."""
        return 0 if parent is not None and parent.isValid() else len(self.HEADS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """Names above, numbers at the side."""
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return self.HEADS[section] if orientation == Qt.Orientation.Horizontal else section + 1

    def data(self, index: Index, role: int = 0) -> Any:
        """Text, mark and the longer text of one cell."""
        pair, column = self.rows[index.row()], index.column()
        answer = (None, None, pair.before, pair.after)[column]
        text = self._text(pair, column)
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return f"{_word(answer)}{plain(text, CELL)}"
            case Qt.ItemDataRole.ToolTipRole:
                return tip(text)
            case Qt.ItemDataRole.DecorationRole if answer is not None:
                return theme.icon(*VERDICTS[answer.correct][:2])
            case Qt.ItemDataRole.TextAlignmentRole:
                return int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        return None

    @staticmethod
    def _text(pair: Pair, column: int) -> str:
        before = pair.before.answer or "(no answer)" if pair.before else "(not asked)"
        after = pair.after.answer or "(no answer)"
        return (pair.after.prompt, pair.after.expected, before, after)[column]


def _word(answer: Answer | None) -> str:
    return f"{VERDICTS[answer.correct][2]}\n" if answer is not None else ""


class TopMarks(QStyledItemDelegate):
    """The mark stands beside the first line, and the style sheet's padding counts as height."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        """Move the icon up."""
        super().initStyleOption(option, index)
        option.decorationAlignment = Qt.AlignmentFlag.AlignTop

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Wrap within the padding."""
        option.rect.setWidth(option.rect.width() - PADDING)
        size = super().sizeHint(option, index)
        return QSize(size.width(), size.height() + PADDING // 2)


class ResultPage(Page):
    """Proof of what the training did, read from the run itself."""

    title: ClassVar[str] = "Result"
    question: ClassVar[str] = "What did the model learn?"
    help: ClassVar[str] = "Measured on rows that were kept out of training."
    icon: ClassVar[str] = "trophy"

    def __init__(self, session: Session, runner: Runner, parent: QWidget | None = None) -> None:
        self.runner = runner
        self._drawn: tuple[object, ...] | None = None
        self._pairs: list[Pair] = []
        super().__init__(session, parent)
        runner.opened.connect(self._draw)
        runner.changed.connect(self._draw)
        runner.ended.connect(self._draw)
        self._draw()

    def build(self) -> None:
        """Create the widgets, once."""
        self.verdict = Notice()
        self.body.addWidget(self.verdict)
        self.scores = ScoreCard()
        self.body.addWidget(self.scores)
        self.body.addWidget(self._place())
        self.body.addWidget(self._table(), 1)

    def _place(self) -> Card:
        self.place = Card("Where it lies")
        self.path = PlainLabel("", "mono")
        self.path.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.open = QuietButton("Open folder", "folder-open")
        self.copy = QuietButton("Copy path", "copy")
        self.open.clicked.connect(self._open_folder)
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(str(self.artefact)))
        self.place.add(self.path)
        self.place.body.addLayout(row(self.open, self.copy))
        return self.place

    def _table(self) -> Card:
        self.answers = Card("Answers before and after")
        self.filter = QComboBox()
        self.filter.setAccessibleName("Which answers are shown")
        self.filter.addItems(FILTERS)
        self.filter.currentTextChanged.connect(self._fill)
        self.shown = PlainLabel("", "small")
        self.shown.setWordWrap(False)
        self.answers.header.addWidget(self.shown)
        self.answers.header.addWidget(self.filter)
        self.model = Answers(self)
        self.table = _table_view(self.model)
        self.answers.add(self.table)
        return self.answers

    @property
    def artefact(self) -> Path | None:
        """The folder with what was trained, when it is there."""
        run, name = self.runner.run, self.runner.history.artefact
        return run.root / name if run and name and (run.root / name).is_dir() else None

    def _draw(self, _news: object = None) -> None:
        history = self.runner.history
        now = (self.runner.run, history.before, history.after, history.state, history.artefact)
        if now == self._drawn:
            return
        self._drawn = now
        self.verdict.show_as(*verdict(self.runner.run, history))
        self.scores.show_scores(history.before, history.after)
        self._draw_place()
        self._pairs = pairs(history.before, history.after) if history.after else []
        self.answers.setVisible(bool(self._pairs))
        self._fill(self.filter.currentText())

    def _draw_place(self) -> None:
        folder = self.artefact
        self.place.setVisible(folder is not None)
        self.path.setText(str(folder) if folder else "")

    def _fill(self, wanted: str) -> None:
        kept = [pair for pair in self._pairs if pair.passes(wanted)]
        self.model.show_rows(kept)
        self.shown.setText(f"{len(kept):,} of {len(self._pairs):,} rows")

    def _open_folder(self) -> None:
        folder = self.artefact
        if folder is None or not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
            messages.tell(self, "The folder cannot be opened here.", f"It is {folder}.")


def _table_view(model: QAbstractTableModel) -> QTableView:
    table = QTableView()
    table.setModel(model)
    table.setWordWrap(True)
    table.setShowGrid(False)
    table.setAlternatingRowColors(True)
    table.setTabKeyNavigation(False)
    table.setMinimumHeight(360)
    table.setAccessibleName("Answers before and after training")
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.verticalHeader().setVisible(False)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.horizontalHeader().setHighlightSections(False)
    table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
    table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    table.setItemDelegate(TopMarks(table))
    return table
